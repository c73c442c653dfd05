"""One transaction in PostgreSQL, with the repositories that work in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

from sqlalchemy.orm import Session
from typing_extensions import override

from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork
from noteflow_hooks.errors import UnavailableError, UnitOfWorkNotStartedError
from noteflow_hooks.persistence.sql.access import SqlAlchemyAccessRepository
from noteflow_hooks.persistence.sql.converters import WebhookConverter
from noteflow_hooks.persistence.sql.delivery_log import SqlAlchemyDeliveryLog
from noteflow_hooks.persistence.sql.meetings import SqlAlchemyMeetingRepository
from noteflow_hooks.persistence.sql.outbox import SqlAlchemyEventOutbox
from noteflow_hooks.persistence.sql.replays import SqlAlchemyReplayRepository
from noteflow_hooks.persistence.sql.requests import SqlAlchemyRequestRepository
from noteflow_hooks.persistence.sql.webhooks import SqlAlchemyWebhookRepository

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from types import TracebackType

    from sqlalchemy.engine import Engine

    from noteflow_hooks.crypto import SecretBox

_SAVE: Final = "SAVEPOINT inner_work"
_UNDO: Final = "ROLLBACK TO SAVEPOINT inner_work"


class SqlAlchemyUnitOfWork(UnitOfWork):
    """One transaction in PostgreSQL. A unit may be used again after its block, not inside it."""

    def __init__(self, engine: Engine, box: SecretBox) -> None:
        """``box`` opens the stored secrets."""
        self._engine = engine
        self._converter = WebhookConverter(box)
        self._current: Session | None = None
        self._after_commit: list[Callable[[], None]] = []

    @override
    def __enter__(self) -> Self:
        self._current = Session(self._engine, expire_on_commit=False)
        self._after_commit = []
        return self

    @override
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        session, self._current = self._session, None
        session.close()

    @property
    @override
    def webhooks(self) -> SqlAlchemyWebhookRepository:
        return SqlAlchemyWebhookRepository(self._session, self._converter)

    @property
    @override
    def supports_webhooks(self) -> bool:
        return self._session is not None

    @property
    @override
    def events(self) -> SqlAlchemyEventOutbox:
        return SqlAlchemyEventOutbox(self._session)

    @property
    @override
    def deliveries(self) -> SqlAlchemyDeliveryLog:
        return SqlAlchemyDeliveryLog(self._session, self._converter)

    @property
    @override
    def replays(self) -> SqlAlchemyReplayRepository:
        return SqlAlchemyReplayRepository(self._session)

    @property
    @override
    def meetings(self) -> SqlAlchemyMeetingRepository:
        return SqlAlchemyMeetingRepository(self._session)

    @property
    @override
    def requests(self) -> SqlAlchemyRequestRepository:
        return SqlAlchemyRequestRepository(self._session)

    @property
    @override
    def access(self) -> SqlAlchemyAccessRepository:
        return SqlAlchemyAccessRepository(self._session)

    @override
    def commit(self) -> None:
        self._session.commit()
        calls, self._after_commit = self._after_commit, []
        for call in calls:
            call()

    @override
    def on_commit(self, call: Callable[[], None]) -> None:
        _ = self._session
        self._after_commit.append(call)

    @override
    def savepoint(self) -> AbstractContextManager[None]:
        return _Savepoint(self._session, self._after_commit)

    @property
    def _session(self) -> Session:
        if self._current is None:
            raise UnitOfWorkNotStartedError
        return self._current


class _Savepoint:
    """A SAVEPOINT that also forgets the calls that were to follow the commit of what it undoes.

    Nothing releases it: the commit does, and a round trip for it would be one more for everybody who stops a meeting.
    """

    def __init__(self, session: Session, calls: list[Callable[[], None]]) -> None:
        self._session = session
        self._calls = calls
        self._kept = len(calls)

    def __enter__(self) -> None:
        self._session.flush()
        self._session.connection().exec_driver_sql(_SAVE)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            del self._calls[self._kept :]
            if not isinstance(error, UnavailableError):
                # Where the database itself is away, the whole transaction is lost.
                self._session.connection().exec_driver_sql(_UNDO)
