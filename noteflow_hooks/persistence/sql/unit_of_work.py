"""One transaction in PostgreSQL, with the repositories that work in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from typing_extensions import override

from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork
from noteflow_hooks.errors import UnitOfWorkNotStartedError
from noteflow_hooks.persistence.sql.access import SqlAlchemyAccessRepository
from noteflow_hooks.persistence.sql.audit import SqlAlchemyAuditTrail
from noteflow_hooks.persistence.sql.converters import WebhookConverter
from noteflow_hooks.persistence.sql.delivery_log import SqlAlchemyDeliveryLog
from noteflow_hooks.persistence.sql.event_types import SqlAlchemyEventTypeRepository
from noteflow_hooks.persistence.sql.mails import SqlAlchemyMailOutbox
from noteflow_hooks.persistence.sql.meetings import SqlAlchemyMeetingRepository
from noteflow_hooks.persistence.sql.outbox import SqlAlchemyEventOutbox
from noteflow_hooks.persistence.sql.replays import SqlAlchemyReplayRepository
from noteflow_hooks.persistence.sql.requests import SqlAlchemyRequestRepository
from noteflow_hooks.persistence.sql.stats import SqlAlchemyStatsRepository
from noteflow_hooks.persistence.sql.system_log import SqlAlchemySystemLog
from noteflow_hooks.persistence.sql.webhooks import SqlAlchemyWebhookRepository
from noteflow_hooks.persistence.sql.work import Savepoint, Work

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from types import TracebackType

    from sqlalchemy.engine import Engine

    from noteflow_hooks.crypto import SecretBox


class SqlAlchemyUnitOfWork(UnitOfWork):
    """One transaction in PostgreSQL. A unit may be used again after its block, not inside it."""

    def __init__(self, engine: Engine, box: SecretBox) -> None:
        """``box`` opens the stored secrets."""
        self._engine = engine
        self._converter = WebhookConverter(box)
        self._current: Work | None = None
        self._after_commit: list[Callable[[], None]] = []

    @override
    def __enter__(self) -> Self:
        self._current = Work(self._engine)
        self._after_commit = []
        return self

    @override
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        work, self._current = self._work, None
        work.close()

    @property
    @override
    def webhooks(self) -> SqlAlchemyWebhookRepository:
        return SqlAlchemyWebhookRepository(self._work, self._converter)

    @property
    @override
    def supports_webhooks(self) -> bool:
        return self._work is not None

    @property
    @override
    def events(self) -> SqlAlchemyEventOutbox:
        return SqlAlchemyEventOutbox(self._work)

    @property
    @override
    def deliveries(self) -> SqlAlchemyDeliveryLog:
        return SqlAlchemyDeliveryLog(self._work, self._converter)

    @property
    @override
    def replays(self) -> SqlAlchemyReplayRepository:
        return SqlAlchemyReplayRepository(self._work.session)

    @property
    @override
    def meetings(self) -> SqlAlchemyMeetingRepository:
        return SqlAlchemyMeetingRepository(self._work)

    @property
    @override
    def requests(self) -> SqlAlchemyRequestRepository:
        return SqlAlchemyRequestRepository(self._work)

    @property
    @override
    def event_types(self) -> SqlAlchemyEventTypeRepository:
        return SqlAlchemyEventTypeRepository(self._work)

    @property
    @override
    def access(self) -> SqlAlchemyAccessRepository:
        return SqlAlchemyAccessRepository(self._work)

    @property
    @override
    def audit(self) -> SqlAlchemyAuditTrail:
        return SqlAlchemyAuditTrail(self._work)

    @property
    @override
    def system(self) -> SqlAlchemySystemLog:
        return SqlAlchemySystemLog(self._work)

    @property
    @override
    def stats(self) -> SqlAlchemyStatsRepository:
        return SqlAlchemyStatsRepository(self._work)

    @property
    @override
    def mails(self) -> SqlAlchemyMailOutbox:
        return SqlAlchemyMailOutbox(self._work, self._converter)

    @override
    def commit(self) -> None:
        self._work.commit()
        calls, self._after_commit = self._after_commit, []
        for call in calls:
            call()

    @override
    def on_commit(self, call: Callable[[], None]) -> None:
        _ = self._work
        self._after_commit.append(call)

    @override
    def savepoint(self) -> AbstractContextManager[None]:
        return Savepoint(self._work, self._after_commit)

    @property
    def _work(self) -> Work:
        if self._current is None:
            raise UnitOfWorkNotStartedError
        return self._current
