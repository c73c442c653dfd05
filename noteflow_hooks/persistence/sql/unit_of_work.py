"""One transaction in PostgreSQL, with the repositories that work in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

from sqlalchemy.orm import Session

from noteflow_hooks.errors import UnavailableError, UnitOfWorkNotStartedError
from noteflow_hooks.persistence.sql.access import SqlAlchemyAccessRepository
from noteflow_hooks.persistence.sql.converters import WebhookConverter
from noteflow_hooks.persistence.sql.delivery_log import SqlAlchemyDeliveryLog
from noteflow_hooks.persistence.sql.meetings import SqlAlchemyMeetingRepository
from noteflow_hooks.persistence.sql.outbox import SqlAlchemyEventOutbox
from noteflow_hooks.persistence.sql.replays import SqlAlchemyReplayRepository
from noteflow_hooks.persistence.sql.webhooks import SqlAlchemyWebhookRepository

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from types import TracebackType

    from sqlalchemy.engine import Engine

    from noteflow_hooks.crypto import SecretBox

_SAVE: Final = "SAVEPOINT inner_work"
_UNDO: Final = "ROLLBACK TO SAVEPOINT inner_work"


class SqlAlchemyUnitOfWork:
    """One may be used again after its block, not inside it."""

    def __init__(self, engine: Engine, box: SecretBox) -> None:
        """``box`` opens the stored secrets."""
        self._engine = engine
        self._converter = WebhookConverter(box)
        self._current: Session | None = None
        self._after_commit: list[Callable[[], None]] = []

    def __enter__(self) -> Self:
        """Begin. The connection is taken when something first needs it."""
        self._current = Session(self._engine, expire_on_commit=False)
        self._after_commit = []
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Roll back what was not committed, and give the connection back."""
        session, self._current = self._session, None
        session.close()

    @property
    def webhooks(self) -> SqlAlchemyWebhookRepository:
        """The endpoints."""
        return SqlAlchemyWebhookRepository(self._session, self._converter)

    @property
    def supports_webhooks(self) -> bool:
        """Always: the tables are there."""
        return self._session is not None

    @property
    def events(self) -> SqlAlchemyEventOutbox:
        """The outbox."""
        return SqlAlchemyEventOutbox(self._session)

    @property
    def deliveries(self) -> SqlAlchemyDeliveryLog:
        """The deliveries."""
        return SqlAlchemyDeliveryLog(self._session, self._converter)

    @property
    def replays(self) -> SqlAlchemyReplayRepository:
        """The requests to send many deliveries again."""
        return SqlAlchemyReplayRepository(self._session)

    @property
    def meetings(self) -> SqlAlchemyMeetingRepository:
        """The meetings."""
        return SqlAlchemyMeetingRepository(self._session)

    @property
    def access(self) -> SqlAlchemyAccessRepository:
        """The workspaces and tokens."""
        return SqlAlchemyAccessRepository(self._session)

    def commit(self) -> None:
        """Make it durable, then run what :meth:`on_commit` took."""
        self._session.commit()
        calls, self._after_commit = self._after_commit, []
        for call in calls:
            call()

    def on_commit(self, call: Callable[[], None]) -> None:
        """Have ``call`` run once after the commit."""
        _ = self._session
        self._after_commit.append(call)

    def savepoint(self) -> AbstractContextManager[None]:
        """Undo what happens inside, and only that, if an error leaves it."""
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
