"""One transaction, and what is to be called once it is committed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from types import TracebackType
    from uuid import UUID

    from noteflow_hooks.domain.ports.audit import AuditTrail
    from noteflow_hooks.domain.ports.mails import MailOutbox
    from noteflow_hooks.domain.ports.meetings import MeetingRepository
    from noteflow_hooks.domain.ports.repositories import (
        AccessRepository,
        DeliveryLog,
        EventOutbox,
        EventTypeRepository,
        ReplayRepository,
        RequestRepository,
        SystemLog,
        WebhookRepository,
    )
    from noteflow_hooks.domain.ports.stats import StatsRepository


#: Wakes the workers for these events or deliveries. Returns at once and never raises: losing a wake-up costs time only.
Announce: TypeAlias = "Callable[[Sequence[UUID]], None]"


class UnitOfWork(Protocol):
    """One transaction. Leaving the ``with`` block without :meth:`commit` rolls everything back.

    Used outside its ``with`` block every member raises :class:`UnitOfWorkNotStartedError`. A database that can't be
    reached raises :class:`UnavailableError`.
    """

    @property
    def webhooks(self) -> WebhookRepository:
        """The endpoints."""
        ...

    @property
    def supports_webhooks(self) -> bool:
        """Whether :attr:`webhooks`, :attr:`events`, :attr:`deliveries` and :attr:`replays` can be used."""
        ...

    @property
    def events(self) -> EventOutbox:
        """The outbox."""
        ...

    @property
    def deliveries(self) -> DeliveryLog:
        """The deliveries."""
        ...

    @property
    def replays(self) -> ReplayRepository:
        """The requests to send many deliveries again."""
        ...

    @property
    def meetings(self) -> MeetingRepository:
        """The meetings."""
        ...

    @property
    def event_types(self) -> EventTypeRepository:
        """The workspaces' own event types."""
        ...

    @property
    def access(self) -> AccessRepository:
        """The workspaces and tokens."""
        ...

    @property
    def requests(self) -> RequestRepository:
        """The requests that may be repeated."""
        ...

    @property
    def audit(self) -> AuditTrail:
        """The audit trail."""
        ...

    @property
    def system(self) -> SystemLog:
        """What tells whether relay, sweep and workers do their work."""
        ...

    @property
    def stats(self) -> StatsRepository:
        """The roll-ups."""
        ...

    @property
    def mails(self) -> MailOutbox:
        """The mails to the endpoints' contacts."""
        ...

    def __enter__(self) -> Self:
        """Begin."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Roll back what was not committed."""
        ...

    def commit(self) -> None:
        """Commit the transaction, then run what :meth:`on_commit` was given."""
        ...

    def on_commit(self, call: Callable[[], None]) -> None:
        """Run ``call`` once after the commit, and never if there is no commit."""
        ...

    def savepoint(self) -> AbstractContextManager[None]:
        """Undo what happens inside, and only that, if an error leaves the block; the error is raised on."""
        ...
