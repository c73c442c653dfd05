"""What one unit of work does in PostgreSQL: on a connection lent at its first statement, in one transaction.

Statements that need not be answered at once go along with the next one that must, and the transaction begins along with
its first one. Those that only read run by themselves while nothing has been changed: under READ COMMITTED each sees its
own moment anyway. A connection is not asked beforehand whether it lives: where it turns out to be lost before anything
of the unit was done on it, the same is done on another one. The commit never goes with a unit's first statements, so
nothing is done twice.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg
from sqlalchemy import Connection
from sqlalchemy.orm import Session

from noteflow_hooks.concurrency.outage import DATABASE
from noteflow_hooks.errors import UnavailableError
from noteflow_hooks.persistence.sql.aside import pause_of
from noteflow_hooks.persistence.sql.at_hand import wire_of
from noteflow_hooks.persistence.sql.engine import give_back, give_up, lend, shortened, unavailable
from noteflow_hooks.persistence.sql.sqlstates import ends_connection
from noteflow_hooks.persistence.sql.wire import ROWS_AT_ONCE, Asked, Statement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType

    from sqlalchemy.engine import Engine
    from sqlalchemy.pool import PoolProxiedConnection

    from noteflow_hooks.persistence.sql.wire import Wire

Row = TypeVar("Row")

_BEGIN: Final = Statement("BEGIN")
_COMMIT: Final = Statement("COMMIT")


class Answer(Asked):
    """What a statement that was asked for comes to."""

    __slots__ = ("_work",)

    def __init__(self, work: Work, statement: Statement, params: Mapping[str, Any]) -> None:
        super().__init__(statement, params)
        self._work = work

    def all(self) -> list[Any]:
        """Return its rows, after a round trip with all that waits, where it has not run yet."""
        if self.rows is None:
            self._work.flush()
        if self.rows is None:
            raise ValueError("the statement was undone before it ran")
        return self.rows

    def first(self) -> Any:  # noqa: ANN401 - a row of whatever columns
        """Return its first row, or None."""
        rows = self.all()
        return rows[0] if rows else None


class Work:
    """One unit's statements. Close it in the end; what is not committed by then is rolled back."""

    def __init__(self, engine: Engine) -> None:
        """Lend nothing before the first statement."""
        self._engine = engine
        self._pause = pause_of(engine)
        self._waiting: list[Answer] = []
        self._lent: PoolProxiedConnection | None = None
        self._wire: Wire | None = None
        self._connection: Connection | None = None
        self._session: Session | None = None
        #: Whether a transaction was begun that is neither committed nor rolled back by us.
        self._begun = False
        #: How many parts that can be undone by themselves are open within each other.
        self._depth = 0

    @classmethod
    def inside(cls, connection: Connection) -> Work:
        """Work in the open transaction of a connection, which somebody else ends."""
        made = cls(connection.engine)
        made._wire, made._connection, made._begun = wire_of(connection.connection), connection, True
        return made

    @property
    def session(self) -> Session:
        """SQLAlchemy's session in the same transaction, for what runs seldom."""
        if self._waiting or not self._begun:
            # Before its own statements: it is these that find a connection which lives.
            self._run(self._taken(), begins=True)
        self._check_kept()
        if self._session is None:
            if self._connection is None:
                self._connection = Connection(self._engine, connection=self._lent)
            self._session = Session(self._connection, expire_on_commit=False)
        return self._session

    def ask(self, statement: Statement, **params: Any) -> Answer:  # noqa: ANN401 - whatever it takes
        """Have it run with the next round trip, or with the commit."""
        answer = Answer(self, statement, params)
        self._waiting.append(answer)
        return answer

    def alone(self, statement: Statement, params: Mapping[str, Any]) -> list[Any]:
        """Run a statement that commits by itself, in a unit that has nothing else, and return its rows.

        Where its connection is lost it runs once more, and nobody knows then whether it had been carried out.
        """
        asked = Asked(statement, params)
        self._run([asked], begins=False)
        return asked.rows or []

    def by_turns(self, rows: Sequence[Row]) -> Iterator[Row]:
        """Return the rows one by one, for what takes long with many of them: others have their turns meanwhile."""
        for number, row in enumerate(rows):
            if number and not number % ROWS_AT_ONCE:
                self._pause()
            yield row

    def flush(self) -> None:
        """Run all that waits in one round trip."""
        if self._session is not None:
            self._session.flush()
        asked = self._taken()
        if asked:
            self._run(asked, begins=not all(each.statement.reads for each in asked))

    def commit(self) -> None:
        """Commit. What still waits goes along, unless it is the unit's first."""
        if self._session is not None or not self._begun:
            self.flush()
        self._check_sound()
        if self._session is not None:
            self._session.commit()
        if self._is_open():
            self._run([*self._taken(), Asked(_COMMIT, {})], begins=False)
        self._begun = False

    def close(self) -> None:
        """Roll back what was not committed, and give the connection back."""
        self._waiting.clear()
        if self._wire is not None:
            try:
                self._wire.roll_back()
            except psycopg.Error as error:
                self._give_up(error)
        self._let_go()

    def begin_part(self) -> Answer:
        """Have what follows be a part that can be undone by itself."""
        self.flush()
        self._depth += 1
        return self.ask(_savepoint(self._depth))

    def end_part(self, begun: Answer) -> None:
        """Have errors of what is still to run come out. Nothing releases a savepoint: the commit does."""
        if self._waiting == [begun]:
            self._waiting.clear()
        self.flush()
        self._depth -= 1

    def undo_part(self, begun: Answer) -> None:
        """Undo it."""
        self._waiting.clear()
        if begun.rows is not None:
            self.ask(_undo(self._depth))
            self.flush()
        self._depth -= 1

    def _taken(self) -> list[Answer]:
        waiting, self._waiting = self._waiting, []
        return waiting

    def _is_open(self) -> bool:
        return self._wire is not None and self._wire.is_open

    def _check_kept(self) -> None:
        """Raise where what the unit has done is lost, so that its rest is not done without."""
        if self._begun and not self._is_open():
            raise UnavailableError("the database does not answer (the transaction is lost); try again")

    def _check_sound(self) -> None:
        """Raise where the server would make a rollback of the commit, and say nothing."""
        self._check_kept()
        if self._wire is not None and self._wire.is_failed:
            raise psycopg.errors.InFailedSqlTransaction("a statement was refused: the unit can't be committed")

    def _run(self, asked: Sequence[Asked], *, begins: bool) -> None:
        self._check_kept()
        is_first = not self._begun and self._session is None
        if self._is_done(asked, begins=begins, may_be_lost=is_first):
            return
        # Nothing that was done on it could be lost, or be done twice. All are like this after a restart of PostgreSQL.
        self._is_done(asked, begins=begins, may_be_lost=False)

    def _is_done(self, asked: Sequence[Asked], *, begins: bool, may_be_lost: bool) -> bool:
        """Run them; return False where the connection is lost, if that may be."""
        began = self._begun
        try:
            wire = self._wire_lent()
            opening = () if began else wire.opening(_BEGIN if begins else None)
            self._begun = began or begins
            wire.run([*opening, *asked])
            if DATABASE.since is not None:
                DATABASE.answered()
        except psycopg.Error as error:
            is_lost = self._wire is None or self._wire.is_lost or ends_connection(error)
            if is_lost:
                self._give_up(error)
            self._begun = began or self._is_open()
            if is_lost and may_be_lost:
                return False
            raise unavailable(error) or shortened(error) from None
        except BaseException as error:
            # Left in the middle: nobody knows what the connection still waits for.
            self._give_up(error)
            raise
        return True

    def _wire_lent(self) -> Wire:
        if self._wire is None:
            self._lent = lend(self._engine)
            self._wire = wire_of(self._lent)
        return self._wire

    def _give_up(self, error: BaseException | None) -> None:
        """Have nobody use this connection again, nor those that are older: most likely they lead to the same server."""
        if self._lent is not None:
            give_up(self._engine, self._lent, error)
        self._let_go()

    def _let_go(self) -> None:
        lent, session, connection = self._lent, self._session, self._connection
        self._lent = self._wire = self._session = self._connection = None
        if session is not None:
            session.close()
        if connection is not None and lent is not None:
            connection.close()
        elif lent is not None:
            give_back(self._engine, lent)


class Savepoint:
    """A part of a unit that is undone by itself, with the calls that were to follow the commit of it."""

    def __init__(self, work: Work, calls: list[Callable[[], None]]) -> None:
        self._work = work
        self._calls = calls
        self._kept = len(calls)

    def __enter__(self) -> None:
        self._begun = self._work.begin_part()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._work.end_part(self._begun)
        except BaseException as late:
            self._undo(late)
            raise
        if error is not None:
            self._undo(error)

    def _undo(self, error: BaseException) -> None:
        del self._calls[self._kept :]
        if not isinstance(error, UnavailableError):
            # Where the database itself is away, the whole transaction is lost.
            self._work.undo_part(self._begun)


@cache
def _savepoint(depth: int) -> Statement:
    return Statement(f"SAVEPOINT inner_{depth}")


@cache
def _undo(depth: int) -> Statement:
    return Statement(f"ROLLBACK TO SAVEPOINT inner_{depth}")
