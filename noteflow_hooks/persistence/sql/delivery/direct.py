"""Statements that run hundreds of times a second, on SQLAlchemy's connections, past what it makes of their results.

Each is a whole by itself, and commits with its end: no transaction is open while a busy worker comes back for it.
What SQLAlchemy and psycopg do to find out about parameters and columns takes them half a millisecond for each run.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import psycopg
from sqlalchemy import text

from noteflow_hooks.errors import UnavailableError
from noteflow_hooks.persistence.sql.engine import RAW_CURSOR, lend, shortened, unavailable
from noteflow_hooks.persistence.sql.sqlstates import ends_connection
from noteflow_hooks.persistence.sql.wire import numbered

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import TextClause
    from sqlalchemy.engine import Engine
    from sqlalchemy.pool import PoolProxiedConnection

log = logging.getLogger(__name__)


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


class DirectStatements:
    """Runs such statements."""

    def __init__(self, engine: Engine, *, unasked: bool = False) -> None:
        """Lend connections from the engine's pool; ``unasked`` ones were not asked whether they live."""
        self._engine = engine
        self._unasked = unasked
        #: Behind a pooler, one that tells each statement its settings.
        self._cursor = engine.get_execution_options().get(RAW_CURSOR, psycopg.RawCursor)

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
        lent = self._borrowed()
        connection: Any = lent.driver_connection
        try:
            connection.autocommit = True
            cursor = self._cursor(connection)
            values = list(map(params.__getitem__, statement.names))
            rows: list[tuple[Any, ...]] = cursor.execute(statement.sql, values).fetchall()
            connection.autocommit = False
        except psycopg.Error as error:
            if connection.closed or ends_connection(error):
                # What else the pool has is as old, and most likely as dead, or leads to the same server.
                lent.invalidate()
                self._engine.dispose()
                raise _broken(error) from None
            connection.autocommit = False
            raise unavailable(error) or shortened(error) from None
        except BaseException:
            # Given up in the middle: nobody knows what the connection still waits for.
            lent.invalidate()
            raise
        finally:
            lent.close()
        return rows

    def _borrowed(self) -> PoolProxiedConnection:
        try:
            return lend(self._engine) if self._unasked else self._engine.raw_connection()
        except psycopg.Error as error:
            raise unavailable(error) or shortened(error) from None


def _broken(error: psycopg.Error) -> Exception:
    away = unavailable(error)
    # Another kind, such as a pooler's, says more than that the connection is gone.
    return BrokenConnectionError(str(away), detail=away.detail) if type(away) is UnavailableError else away or error
