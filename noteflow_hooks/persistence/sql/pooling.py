"""Behind a pooler of transactions, such as PgBouncer's ``pool_mode = transaction``, and how one is recognised.

There a session is nobody's: each transaction may run in another one, so what a session is told does not hold, and a
statement that was prepared in one is not there in the next. So nothing is prepared, and each transaction is told anew
what it needs, in the same round trip as its first statement. A lone statement is sent in a pipeline with it, which
PostgreSQL runs as one transaction: no BEGIN, no COMMIT.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Self

import psycopg
from psycopg.pq import TransactionStatus

from noteflow_hooks.errors import PoolerError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: A setting of our own, which PostgreSQL keeps for whoever names it: a session without it was never told anything.
_MARK: Final = "noteflow_hooks.session"
_ASKED: Final = f"SELECT pg_backend_pid(), current_setting('{_MARK}', true)"
#: What PgBouncer answers to a start that tells the session something, unless it is told to ignore that.
_REFUSAL: Final = "unsupported startup parameter"
_LINE: Final = (
    "NOTEFLOW_HOOKS_DATABASE_URL leads to a pooler, such as PgBouncer, where what a session is told does not hold: "
    "set NOTEFLOW_HOOKS_POSTGRES_POOLER to transaction, or name PostgreSQL itself"
)


def as_options(settings: Mapping[str, str], *, more: str = "") -> str:
    """Return what a session is told at its start, as libpq's ``options``, and then ``more``."""
    words = [f"-c {name}={value}" for name, value in {**settings, _MARK: "kept"}.items()]
    return " ".join([*words, more] if more else words)


def check_session(connection: Any, _: object) -> None:  # noqa: ANN401 - SQLAlchemy's signature
    """Raise PoolerError where the new connection is to no session of our own."""
    connection.autocommit = True
    pid, mark = connection.execute(_ASKED).fetchone()
    connection.autocommit = False
    # A pooler makes up a process id of its own, since that is what a client cancels its statements by.
    if mark != "kept" or pid != connection.info.backend_pid:
        connection.close()
        raise PoolerError(detail=_LINE)


def pooler_refused(error: BaseException | None) -> PoolerError | None:
    """Return the error to raise where a pooler has refused the connection, else None."""
    return PoolerError(detail=_LINE) if _REFUSAL in str(error) else None


class _TellsFirst(psycopg.Cursor[Any]):
    """A cursor whose first statement in a transaction goes along with what that transaction is told."""

    statement: str

    def execute(self, query: Any, params: Any = None, **options: Any) -> Self:  # noqa: ANN401 - psycopg's signature
        """Execute a statement."""
        if not self._begins():
            return super().execute(query, params, **options)
        with self.connection.pipeline():
            psycopg.Cursor(self.connection).execute(self.statement)
            super().execute(query, params, **options)
        return self

    def executemany(self, query: Any, params_seq: Any, **options: Any) -> None:  # noqa: ANN401 - psycopg's signature
        """Execute a statement once for each set of parameters."""
        if not self._begins():
            super().executemany(query, params_seq, **options)
            return
        with self.connection.pipeline():
            psycopg.Cursor(self.connection).execute(self.statement)
            super().executemany(query, params_seq, **options)

    def _begins(self) -> bool:
        return self.connection.info.transaction_status is TransactionStatus.IDLE


def cursor_factory(settings: Mapping[str, str]) -> type[psycopg.Cursor[Any]]:
    """Return the kind of cursors that tell each transaction these settings."""
    values = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in settings.items())
    return type("TellingCursor", (_TellsFirst,), {"statement": f"SELECT {values}"})


def raw_cursor_factory(factory: type[psycopg.Cursor[Any]]) -> type[psycopg.Cursor[Any]]:
    """Return the same for statements as the server takes them, with numbered parameters."""
    return type("RawTellingCursor", (factory, psycopg.RawCursor), {})
