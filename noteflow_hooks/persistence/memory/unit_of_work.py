"""The unit of work in memory. Units of different threads run one after another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from typing_extensions import override

from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork
from noteflow_hooks.errors import UnitOfWorkNotStartedError
from noteflow_hooks.persistence.memory.access import InMemoryAccessRepository
from noteflow_hooks.persistence.memory.audit import InMemoryAuditTrail
from noteflow_hooks.persistence.memory.delivery_log import InMemoryDeliveryLog
from noteflow_hooks.persistence.memory.event_types import InMemoryEventTypeRepository
from noteflow_hooks.persistence.memory.mails import InMemoryMailOutbox
from noteflow_hooks.persistence.memory.meetings import InMemoryMeetingRepository
from noteflow_hooks.persistence.memory.outbox import InMemoryEventOutbox
from noteflow_hooks.persistence.memory.replays import InMemoryReplayRepository
from noteflow_hooks.persistence.memory.requests import InMemoryRequestRepository
from noteflow_hooks.persistence.memory.stats import InMemoryStatsRepository
from noteflow_hooks.persistence.memory.store import MemoryStore, Session
from noteflow_hooks.persistence.memory.system_log import InMemorySystemLog
from noteflow_hooks.persistence.memory.webhooks import InMemoryWebhookRepository

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from types import TracebackType


class InMemoryUnitOfWork(UnitOfWork):
    """One transaction in memory."""

    def __init__(self, store: MemoryStore) -> None:
        """Nothing happens before the ``with``."""
        self._store = store
        self._open: Session | None = None

    @property
    @override
    def webhooks(self) -> InMemoryWebhookRepository:
        return InMemoryWebhookRepository(self._session)

    @property
    @override
    def supports_webhooks(self) -> bool:
        return self._session is not None

    @property
    @override
    def events(self) -> InMemoryEventOutbox:
        return InMemoryEventOutbox(self._session)

    @property
    @override
    def deliveries(self) -> InMemoryDeliveryLog:
        return InMemoryDeliveryLog(self._session)

    @property
    @override
    def replays(self) -> InMemoryReplayRepository:
        return InMemoryReplayRepository(self._session)

    @property
    @override
    def meetings(self) -> InMemoryMeetingRepository:
        return InMemoryMeetingRepository(self._session)

    @property
    @override
    def requests(self) -> InMemoryRequestRepository:
        return InMemoryRequestRepository(self._session)

    @property
    @override
    def event_types(self) -> InMemoryEventTypeRepository:
        return InMemoryEventTypeRepository(self._session)

    @property
    @override
    def access(self) -> InMemoryAccessRepository:
        return InMemoryAccessRepository(self._session)

    @property
    @override
    def audit(self) -> InMemoryAuditTrail:
        return InMemoryAuditTrail(self._session)

    @property
    @override
    def system(self) -> InMemorySystemLog:
        return InMemorySystemLog(self._session)

    @property
    @override
    def stats(self) -> InMemoryStatsRepository:
        return InMemoryStatsRepository(self._session)

    @property
    @override
    def mails(self) -> InMemoryMailOutbox:
        return InMemoryMailOutbox(self._session)

    @override
    def __enter__(self) -> Self:
        self._open = Session(self._store)
        return self

    @override
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.close()
        self._open = None

    @override
    def commit(self) -> None:
        session = self._session
        session.commit()
        # Other units may go on while the calls are made.
        session.close()
        try:
            for call in session.calls:
                call()
        finally:
            self._open = Session(self._store)

    @override
    def on_commit(self, call: Callable[[], None]) -> None:
        self._session.calls.append(call)

    @override
    def savepoint(self) -> AbstractContextManager[None]:
        return self._session.savepoint()

    @property
    def _session(self) -> Session:
        if self._open is None:
            raise UnitOfWorkNotStartedError
        return self._open
