"""Statements that commit by themselves keep some of the pool's connections; nobody else misses them, nor a dead one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import pytest
from sqlalchemy import text

from noteflow_hooks.persistence.sql.delivery.direct import BrokenConnectionError, DirectStatement, DirectStatements
from noteflow_hooks.persistence.sql.engine import create_engine
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Engine

A_WHILE: Final = DirectStatement.of(text("SELECT pg_sleep(0.05)"))
SESSION: Final = DirectStatement.of(text("SELECT pg_backend_pid()"))
TRUSTED: Final = "noteflow_hooks.persistence.sql.delivery.direct.TRUSTED_S"


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    made = create_engine(database_url, connections=6, wait_s=0.5, is_busy=True)
    yield made
    made.dispose()


def session(direct: DirectStatements) -> int:
    [[pid]] = direct.rows(SESSION, {})
    found: int = pid
    return found


def end(database_url: str, pid: int) -> None:
    """End a session and wait until it is gone."""
    other = create_engine(database_url, connections=1)
    with other.begin() as connection:
        connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
    await_end(database_url, pid)
    other.dispose()


def await_end(database_url: str, pid: int) -> None:
    other = create_engine(database_url, connections=1)

    def is_gone() -> bool:
        with other.begin() as connection:
            found = connection.execute(text("SELECT FROM pg_stat_activity WHERE pid = :pid"), {"pid": pid})
            return found.first() is None

    until(is_gone, what="the session is gone")
    other.dispose()


def test_one_statement_after_another_runs_in_one_session_that_stays_lent(engine: Engine) -> None:
    """The pool has nothing to do with it in between."""
    direct = DirectStatements(engine)
    assert session(direct) == session(direct)
    assert engine.pool.checkedout() == 1  # type: ignore[attr-defined]  # a pool that counts


def test_nobody_waits_for_a_connection_that_is_kept(engine: Engine) -> None:
    """Others get all of the pool's, in transactions as ever; and what they leave, these find."""
    direct = DirectStatements(engine)
    kept = session(direct)
    with ExitStack() as stack:
        lent = [stack.enter_context(engine.connect()) for _ in range(6)]
        assert kept in [each.scalar(text("SELECT pg_backend_pid()")) for each in lent]
        assert [each.in_transaction() for each in lent] == [True] * 6
    assert session(direct) == session(direct)


def test_no_more_than_a_third_of_the_pool_is_kept(engine: Engine) -> None:
    """However many such statements run at once."""
    direct = DirectStatements(engine)
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda _: direct.rows(A_WHILE, {}), range(6)))
    assert engine.pool.checkedout() <= 2  # type: ignore[attr-defined]  # a pool that counts


def test_a_pool_of_one_keeps_none(database_url: str) -> None:
    """SQLAlchemy gets it as soon as the statement is done, in a transaction as ever."""
    engine = create_engine(database_url, connections=1, wait_s=0.5)
    session(DirectStatements(engine))
    with engine.connect() as connection:
        connection.execute(text("CREATE TEMPORARY TABLE undone (id integer)"))
        connection.rollback()
        assert connection.scalar(text("SELECT to_regclass('undone')")) is None
    engine.dispose()


def test_disposal_closes_what_is_kept(engine: Engine, database_url: str) -> None:
    """No session is left behind."""
    pid = session(DirectStatements(engine))
    engine.dispose()
    await_end(database_url, pid)


def test_a_kept_one_that_has_rested_is_asked_whether_it_lives(
    engine: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that does not costs nobody an error."""
    direct = DirectStatements(engine)
    monkeypatch.setattr(TRUSTED, 0.0)
    pid = session(direct)
    assert session(direct) == pid
    end(database_url, pid)
    assert session(direct) != pid


def test_one_that_dies_in_use_takes_all_that_are_kept_with_it(
    engine: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first error speaks for all of them, as for the rest of the pool."""
    monkeypatch.setattr(TRUSTED, 3600.0)
    direct = DirectStatements(engine)
    pid = session(direct)
    end(database_url, pid)
    with pytest.raises(BrokenConnectionError):
        session(direct)
    assert session(direct) != pid


def test_ids_and_moments_come_back_as_they_went(engine: Engine) -> None:
    """Lists of ids in any number, and moments that Python has no value for."""
    ids = [uuid4() for _ in range(3)]
    direct = DirectStatements(engine)
    statement = DirectStatement.of(
        text(
            "SELECT id, CAST(:at AS timestamptz), CAST('infinity' AS timestamptz) FROM unnest(CAST(:ids AS uuid[])) id"
        )
    )
    at = datetime(2026, 11, 29, 12, tzinfo=UTC)
    last = datetime.max.replace(tzinfo=UTC)
    assert direct.rows(statement, {"ids": ids, "at": at}) == [(each, at, last) for each in ids]
    assert direct.rows(statement, {"ids": [], "at": at + timedelta(days=1)}) == []


def test_a_parameter_of_another_type_is_no_mistake(engine: Engine) -> None:
    """The same statement with a small number, a large one, and none."""
    direct, statement = DirectStatements(engine), DirectStatement.of(text("SELECT CAST(:number AS bigint)"))
    assert [direct.rows(statement, {"number": each}) for each in (1, 2**40, None)] == [[(1,)], [(2**40,)], [(None,)]]
