"""Statements that run hundreds of times a second, on SQLAlchemy's connections, past what it makes of their results.

Each is a whole by itself, and commits with its end: no transaction is open while a busy worker comes back for it.
What SQLAlchemy and psycopg do to find out about parameters and columns takes them half a millisecond for each run, and
what a pool does between two of them a tenth.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import UUID

import psycopg
from psycopg import generators
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import ExecStatus
from sqlalchemy import text

from noteflow_hooks.concurrency.outage import DATABASE
from noteflow_hooks.errors import UnavailableError
from noteflow_hooks.persistence.sql.engine import RAW_CURSOR, TRUSTED_S, shortened, unavailable
from noteflow_hooks.persistence.sql.sqlstates import ends_connection
from noteflow_hooks.persistence.sql.wire import numbered

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from psycopg.abc import Transformer as AnyTransformer
    from psycopg.pq.abc import PGresult
    from sqlalchemy import TextClause
    from sqlalchemy.engine import Engine
    from sqlalchemy.pool import PoolProxiedConnection

    from noteflow_hooks.persistence.sql.engine import Kept

log = logging.getLogger(__name__)

#: Where a pooled connection has its session.
_SESSION: Final = "noteflow_direct"
_DONE: Final = frozenset({ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK})


@dataclass(frozen=True, slots=True)
class DirectStatement:
    """A statement as the server takes it, with the names of its numbered parameters."""

    sql: str
    names: tuple[str, ...]

    @classmethod
    def of(cls, clause: TextClause) -> DirectStatement:
        """Return the same statement with its parameters numbered."""
        return cls(*numbered(clause.text))


@dataclass(frozen=True, slots=True)
class DirectUsual:
    """The two forms of a :class:`Usual`, as the server takes them."""

    usual: DirectStatement
    careful: DirectStatement

    @classmethod
    def of(cls, statement: Usual) -> DirectUsual:
        """Return the statement with its parameters numbered."""
        return cls(DirectStatement.of(statement.usual), DirectStatement.of(statement.careful))


#: Where a statement inserts only what is not there yet, in its careful form.
IF_NEW: Final = "/* if new */"


@dataclass(frozen=True, slots=True)
class Usual:
    """A statement in two forms: it inserts rows that are new, as all are unless somebody has changed some by hand.

    To have each looked up before costs 5 µs a delivery. Where one was there already, and all were refused for it, the
    careful form runs in place of the usual one, and leaves that one out.
    """

    usual: TextClause
    careful: TextClause

    @classmethod
    def of(cls, sql: str) -> Usual:
        """Return both forms of the statement, whose inserts end with :data:`IF_NEW`."""
        return cls(text(sql.replace(IF_NEW, "")), text(sql.replace(IF_NEW, "ON CONFLICT DO NOTHING")))


class BrokenConnectionError(UnavailableError):
    """The database does not answer (the connection broke); try again."""


class _Session:
    """A connection's statements, each prepared once for the types of its parameters, as psycopg's cursors would."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        # psycopg's own types: the engine's, which know moments that Python has no value for, cost a call for each.
        self._types = Transformer()
        #: The names that they have on the server.
        self._prepared: dict[tuple[str, tuple[int, ...]], bytes] = {}

    def rows(self, statement: DirectStatement, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        params = self._types.dump_sequence(values, [PyFormat.TEXT] * len(values))
        types = self._types.types or ()
        name = self._prepared.get((statement.sql, types))
        if name is None:
            name = b"direct_%d" % len(self._prepared)
            self._pgconn.send_prepare(name, statement.sql.encode(), param_types=types)
            self._result()
            self._prepared[statement.sql, types] = name
        self._pgconn.send_query_prepared(name, params)
        result = self._result()
        try:
            return self._loaded(self._types, result)
        except psycopg.DataError:
            return self._loaded(Transformer(self._connection), result)

    def _loaded(self, types: AnyTransformer, result: PGresult) -> list[tuple[Any, ...]]:
        types.set_pgresult(result)
        return types.load_rows(0, result.ntuples, tuple)

    def _result(self) -> PGresult:
        result: PGresult = self._connection.wait(generators.execute(self._pgconn))[-1]
        if result.status not in _DONE:
            raise psycopg.errors.error_from_result(result)
        return result


class DirectStatements:
    """Runs such statements. Some connections are kept for the next ones: the pool's own way takes as long as one."""

    def __init__(self, engine: Engine) -> None:
        """Lend connections from the engine's pool."""
        self._engine = engine
        #: Behind a pooler, one that tells each statement its settings.
        self._cursor: Any = engine.get_execution_options().get(RAW_CURSOR)

    def rows_of_new(self, statement: DirectUsual, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Return all its rows, of the careful form where the usual one meets a row that is there already."""
        try:
            return self.rows(statement.usual, params)
        except psycopg.errors.UniqueViolation as error:
            log.warning("done once more, with care: %s", error)
            return self.rows(statement.careful, params)

    def rows(self, statement: DirectStatement, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Return all its rows; a database that is away, gone, or refuses raises UnavailableError.

        Where the connection is of no more use it is a :class:`BrokenConnectionError`. Nobody knows then whether the
        statement was carried out.
        """
        lent, values = self._borrowed(), [_dumped(params[name]) for name in statement.names]
        connection: Any = lent.driver_connection
        try:
            rows = self._run(lent, statement, values)
        except psycopg.Error as error:
            if connection.closed or ends_connection(error):
                # What else the pool has is as old, and most likely as dead, or leads to the same server.
                lent.invalidate()
                self._engine.dispose()
                raise _broken(error) from None
            self._give_back(lent)
            raise unavailable(error) or shortened(error) from None
        except BaseException:
            # Given up in the middle: nobody knows what the connection still waits for.
            lent.invalidate()
            raise
        self._give_back(lent)
        if DATABASE.since is not None:
            DATABASE.answered()
        return rows

    def _run(
        self, lent: PoolProxiedConnection, statement: DirectStatement, values: Sequence[Any]
    ) -> list[tuple[Any, ...]]:
        if self._cursor is not None:
            rows: list[tuple[Any, ...]] = self._cursor(lent.driver_connection).execute(statement.sql, values).fetchall()
            return rows
        session: _Session | None = lent.info.get(_SESSION)
        if session is None:
            session = lent.info[_SESSION] = _Session(cast("psycopg.Connection[Any]", lent.driver_connection))
        return session.rows(statement, values)

    def _borrowed(self) -> PoolProxiedConnection:
        kept: Kept = cast("Any", self._engine.pool).kept
        try:
            while kept:
                lent, since = kept.pop()
                if time.monotonic() - since < TRUSTED_S or _lives(lent):
                    return lent
                lent.invalidate()
                self._engine.dispose()
            lent = self._engine.raw_connection()
            cast("psycopg.Connection[Any]", lent.driver_connection).autocommit = True
        except psycopg.Error as error:
            raise unavailable(error) or shortened(error) from None
        return lent

    def _give_back(self, lent: PoolProxiedConnection) -> None:
        kept: Kept = cast("Any", self._engine.pool).kept
        if len(kept) < (kept.maxlen or 0):
            kept.append((lent, time.monotonic()))
            return
        cast("psycopg.Connection[Any]", lent.driver_connection).autocommit = False
        lent.close()


def _dumped(value: Any) -> Any:  # noqa: ANN401 - whatever a statement takes
    """Return what psycopg dumps at once: it would look at each id of a list by itself."""
    if isinstance(value, list) and value and isinstance(value[0], UUID):
        return f"{{{','.join(map(str, value))}}}"
    return value


def _lives(lent: PoolProxiedConnection) -> bool:
    try:
        cast("psycopg.Connection[Any]", lent.driver_connection).execute("")
    except psycopg.Error:
        return False
    return True


def _broken(error: psycopg.Error) -> Exception:
    away = unavailable(error)
    # Another kind, such as a pooler's, says more than that the connection is gone.
    return BrokenConnectionError(str(away), detail=away.detail) if type(away) is UnavailableError else away or error
