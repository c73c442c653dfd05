"""Statements past SQLAlchemy's results and psycopg's cursors: several go in one round trip, each prepared once.

What those two find out anew about parameters, columns and entities takes 100 to 600 µs for each statement; this takes
15. It works on psycopg's documented wrapper of libpq, and waits as psycopg does, also under gevent.
"""

from __future__ import annotations

import re
from collections import namedtuple
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import ConnStatus, ExecStatus, TransactionStatus
from psycopg.waiting import Ready, Wait

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from psycopg.abc import PQGen
    from psycopg.pq.abc import PGconn, PGresult

#: So many rows are read, or made into what they stand for, without a pause.
ROWS_AT_ONCE: Final = 16
#: A parameter in a statement's text; two colons are a cast.
_PARAMETER: Final = re.compile(r"(?<!:):([a-z_]+)")
_numbers: Final = count(1)
_OPEN: Final = frozenset({TransactionStatus.INTRANS, TransactionStatus.INERROR})


def numbered(text: str) -> tuple[str, tuple[str, ...]]:
    """Return a statement that names its parameters ``:so`` as the server takes it, and the names by their numbers."""
    names = tuple(dict.fromkeys(_PARAMETER.findall(text)))
    return _PARAMETER.sub(lambda found: f"${names.index(found[1]) + 1}", text), names


class Statement:
    """A statement as the server takes it, with the names of its numbered parameters."""

    __slots__ = ("_make", "formats", "is_kept", "key", "names", "reads", "sql")

    def __init__(self, text: str, *, reads: bool = False, is_kept: bool = True) -> None:
        """``text`` names its parameters ``:so``. ``reads`` says that it neither changes nor locks anything.

        One that is not kept is sent whole every time: there are too many like it to prepare each.
        """
        sql, self.names = numbered(text)
        self.formats = [PyFormat.TEXT] * len(self.names)
        self.sql = sql.encode()
        self.reads = reads
        self.is_kept = is_kept
        #: What it is called where it is prepared.
        self.key = f"noteflow_{next(_numbers)}".encode()
        self._make: Callable[[Any], Any] | None = None

    def maker(self, result: PGresult) -> Callable[[Any], Any]:
        """Return what makes its rows, whose columns are attributes."""
        if self._make is None:
            names = [(result.fname(place) or b"").decode() for place in range(result.nfields)]
            # The names come with the first result, and so the type can't be written out.
            row: Any = namedtuple("Row", names, rename=True)  # type: ignore[misc]  # noqa: PYI024 - as said
            self._make = row._make
        return self._make


class Asked:
    """A statement with its parameters, and its rows once it has run."""

    __slots__ = ("params", "rows", "statement")

    def __init__(self, statement: Statement, params: Mapping[str, Any]) -> None:
        self.statement = statement
        self.params = params
        #: None before it has run.
        self.rows: list[Any] | None = None


class Wire:
    """One connection's statements. It keeps what is prepared there."""

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        *,
        prepares: bool,
        preamble: Statement | None,
        pause: Callable[[], None],
    ) -> None:
        """Without ``prepares`` statements are sent whole, every time; ``preamble`` goes before each transaction.

        ``pause`` is called each time that :data:`ROWS_AT_ONCE` have been read.
        """
        self._connection = connection
        self._pgconn = connection.pgconn
        self._preamble = preamble
        self._prepares = prepares
        self._prepared: set[bytes] = set()
        self._pause = pause
        self._types = Transformer(connection)

    @property
    def is_open(self) -> bool:
        """Whether it is in a transaction, and between two statements."""
        return self._pgconn.transaction_status in _OPEN

    @property
    def is_failed(self) -> bool:
        """Whether a statement of its transaction was refused: no other one is run then before a rollback."""
        return self._pgconn.transaction_status == TransactionStatus.INERROR

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way."""
        return self._pgconn.transaction_status == TransactionStatus.IDLE

    @property
    def is_lost(self) -> bool:
        """Whether the connection has broken."""
        return self._pgconn.status == ConnStatus.BAD

    def opening(self, begin: Statement | None) -> list[Asked]:
        """Return what goes before the first statements of a transaction, or before those that are one by themselves."""
        return [Asked(each, {}) for each in (begin, self._preamble) if each is not None]

    def run(self, asked: Sequence[Asked]) -> None:
        """Run them in one round trip, each only if all before it went well; raise psycopg's error where one did not.

        Outside a transaction they are one by themselves, which ends with the last of them.
        """
        dumped = [
            self._types.dump_sequence([each.params[name] for name in each.statement.names], each.statement.formats)
            for each in asked
        ]
        self._pgconn.enter_pipeline_mode()
        new: set[bytes] = set()
        for each, params in zip(asked, dumped, strict=True):
            self._send(each.statement, params, new)
        self._pgconn.pipeline_sync()
        results = iter(self._connection.wait(_results(self._pgconn)))
        self._pgconn.exit_pipeline_mode()
        for each in asked:
            if each.statement.key in new:
                self._rows(each.statement, next(results))
                new.remove(each.statement.key)
                self._prepared.add(each.statement.key)
            each.rows = self._rows(each.statement, next(results))

    def roll_back(self) -> None:
        """Undo its transaction, where one is open."""
        if self.is_open:
            self.run([Asked(_ROLLBACK, {})])

    def _send(self, statement: Statement, params: Sequence[Any], new: set[bytes]) -> None:
        """Send it; what has to be prepared first, once in a connection, is put into ``new``."""
        if not (self._prepares and statement.is_kept):
            self._pgconn.send_query_params(statement.sql, params)
            return
        if statement.key not in self._prepared and statement.key not in new:
            new.add(statement.key)
            self._pgconn.send_prepare(statement.key, statement.sql)
        self._pgconn.send_query_prepared(statement.key, params)

    def _rows(self, statement: Statement, result: PGresult) -> list[Any]:
        if result.status == ExecStatus.COMMAND_OK:
            return []
        if result.status != ExecStatus.TUPLES_OK:
            raise psycopg.errors.error_from_result(result)
        self._types.set_pgresult(result)
        rows: list[Any] = []
        for first in range(0, result.ntuples, ROWS_AT_ONCE):
            if first:
                self._pause()
            rows += self._types.load_rows(first, min(first + ROWS_AT_ONCE, result.ntuples), statement.maker(result))
        return rows


_ROLLBACK: Final = Statement("ROLLBACK")


def _results(pgconn: PGconn) -> PQGen[list[PGresult]]:
    """Send what is queued and return the results up to the end of the pipeline."""
    while pgconn.flush():
        # What arrives is read meanwhile: else each side might wait for the other to read.
        if (yield Wait.RW) & Ready.R:
            pgconn.consume_input()
    results: list[PGresult] = []
    while True:
        while pgconn.is_busy():
            yield Wait.R
            pgconn.consume_input()
        result = pgconn.get_result()
        if result is not None and result.status == ExecStatus.PIPELINE_SYNC:
            return results
        if result is not None:
            results.append(result)
        elif pgconn.status == ConnStatus.BAD:
            raise _lost(pgconn, results)


def _lost(pgconn: PGconn, results: Sequence[PGresult]) -> psycopg.Error:
    """Return the error that says why the connection has ended: the server's own, where it gave one."""
    refusals = [each for each in results if each.status == ExecStatus.FATAL_ERROR]
    if refusals:
        return psycopg.errors.error_from_result(refusals[-1])
    return psycopg.OperationalError(f"the connection is lost: {pgconn.get_error_message()}")
