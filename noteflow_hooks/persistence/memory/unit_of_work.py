"""The unit of work in memory. Units of different threads run one after another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from noteflow_hooks.errors import UnitOfWorkNotStartedError
from noteflow_hooks.persistence.memory.access import InMemoryAccessRepository
from noteflow_hooks.persistence.memory.delivery_log import InMemoryDeliveryLog
from noteflow_hooks.persistence.memory.meetings import InMemoryMeetingRepository
from noteflow_hooks.persistence.memory.outbox import InMemoryEventOutbox
from noteflow_hooks.persistence.memory.replays import InMemoryReplayRepository
from noteflow_hooks.persistence.memory.store import MemoryStore, Session
from noteflow_hooks.persistence.memory.webhooks import InMemoryWebhookRepository

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from types import TracebackType


class InMemoryUnitOfWork:
    """One transaction over a :class:`MemoryStore`; see :class:`noteflow_hooks.domain.ports.unit_of_work.UnitOfWork`."""

    def __init__(self, store: MemoryStore) -> None:
        """Nothing happens before the ``with``."""
        self._store = store
        self._open: Session | None = None

    @property
    def webhooks(self) -> InMemoryWebhookRepository:
        """The endpoints."""
        return InMemoryWebhookRepository(self._session)

    @property
    def supports_webhooks(self) -> bool:
        """Always true: memory keeps all of it."""
        return self._session is not None

    @property
    def events(self) -> InMemoryEventOutbox:
        """The outbox."""
        return InMemoryEventOutbox(self._session)

    @property
    def deliveries(self) -> InMemoryDeliveryLog:
        """The deliveries."""
        return InMemoryDeliveryLog(self._session)

    @property
    def replays(self) -> InMemoryReplayRepository:
        """The requests to send many deliveries again."""
        return InMemoryReplayRepository(self._session)

    @property
    def meetings(self) -> InMemoryMeetingRepository:
        """The meetings."""
        return InMemoryMeetingRepository(self._session)

    @property
    def access(self) -> InMemoryAccessRepository:
        """The workspaces and tokens."""
        return InMemoryAccessRepository(self._session)

    def __enter__(self) -> Self:
        self._open = Session(self._store)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.close()
        self._open = None

    def commit(self) -> None:
        """Show the changes to everyone, then run what :meth:`on_commit` took, while other units may go on."""
        session = self._session
        session.commit()
        session.close()
        try:
            for call in session.calls:
                call()
        finally:
            self._open = Session(self._store)

    def on_commit(self, call: Callable[[], None]) -> None:
        """Have ``call`` run once after the commit, unless the savepoint around it is undone."""
        self._session.calls.append(call)

    def savepoint(self) -> AbstractContextManager[None]:
        """Undo what happens inside, and only that, if an error leaves it."""
        return self._session.savepoint()

    @property
    def _session(self) -> Session:
        if self._open is None:
            raise UnitOfWorkNotStartedError
        return self._open
