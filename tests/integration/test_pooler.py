"""A pooler of transactions before the database: supported where it is named, refused where it is not."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import psycopg
import pytest
from sqlalchemy import text

from noteflow_hooks.cli.commands.doctor import doctor
from noteflow_hooks.crypto import SecretBox, generate_key
from noteflow_hooks.errors import PoolerError, UnavailableError
from noteflow_hooks.local.stack.environment import variables
from noteflow_hooks.persistence.sql.delivery.direct import DirectStatement, DirectStatements
from noteflow_hooks.persistence.sql.engine import create_engine
from noteflow_hooks.persistence.sql.unit_of_work import SqlAlchemyUnitOfWork
from noteflow_hooks.persistence.sql.wire import Statement
from noteflow_hooks.persistence.sql.work import Work
from tests.support.builders import a_meeting, a_workspace, an_event
from tests.support.pgbouncer import pgbouncer
from tests.support.pooling_proxy import PoolingProxy
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy.engine import Engine

#: What each transaction has to be told, and what a busy worker's are told beside.
TOLD: Final = {
    "statement_timeout": "20s",
    "idle_in_transaction_session_timeout": "15s",
    "client_connection_check_interval": "100ms",
    "TimeZone": "UTC",
    "search_path": "public",
    "enable_seqscan": "off",
}
EFFECTIVE: Final = f"SELECT {', '.join(f'current_setting({name!r})' for name in TOLD)}, CAST(:number AS integer)"
#: What every unit of work is told.
NAMES: Final = tuple(name for name in TOLD if name != "enable_seqscan")
ROUNDS: Final = 25
BOX: Final = SecretBox([bytes(32)])


@pytest.fixture
def pooler(database_url: str) -> Iterator[PoolingProxy]:
    with PoolingProxy(database_url) as running:
        yield running


@contextmanager
def a_pooler(kind: str, database_url: str, folder: Path, *, ignores_options: bool) -> Iterator[str]:
    """Yield the URL of the database behind a pooler: ours, which is everywhere, or PgBouncer."""
    if kind == "ours":
        with PoolingProxy(database_url, ignores_options=ignores_options) as proxy:
            yield proxy.url
    else:
        with pgbouncer(database_url, folder / "pgbouncer", ignores_options=ignores_options) as url:
            yield url


@pytest.fixture
def pooled(pooler: PoolingProxy) -> Iterator[Engine]:
    made = create_engine(pooler.url, connections=6, is_busy=True, is_pooled=True)
    yield made
    made.dispose()


@pytest.mark.parametrize("kind", ["ours", "pgbouncer"])
@pytest.mark.parametrize("ignores_options", [True, False])
def test_a_pooler_that_no_setting_names_is_refused_by_the_settings_name(
    database_url: str, tmp_path: Path, kind: str, *, ignores_options: bool
) -> None:
    """Whether it drops what a session is told, or refuses the session for it."""
    with a_pooler(kind, database_url, tmp_path, ignores_options=ignores_options) as url:
        engine = create_engine(url)
        with pytest.raises(PoolerError) as caught, engine.connect():
            pass
        engine.dispose()
    assert "NOTEFLOW_HOOKS_POSTGRES_POOLER" in caught.value.detail


@pytest.mark.parametrize("kind", ["ours", "pgbouncer"])
@pytest.mark.parametrize("ignores_options", [True, False])
def test_every_transaction_is_told_its_timeouts_whichever_session_it_gets(
    database_url: str, tmp_path: Path, kind: str, *, ignores_options: bool
) -> None:
    """Of statements alone, in SQLAlchemy's hands and past them, and of the later ones of a transaction."""
    wanted = tuple(TOLD.values())
    with a_pooler(kind, database_url, tmp_path, ignores_options=ignores_options) as url:
        engine = create_engine(url, connections=6, is_busy=True, is_pooled=True)
        with ThreadPoolExecutor(6) as threads:
            found = list(threads.map(lambda number: effective(engine, number), range(6 * ROUNDS)))
        engine.dispose()
    assert found == [[(*wanted, number)] * 4 for number in range(6 * ROUNDS)]


def effective(engine: Engine, number: int) -> list[tuple[Any, ...]]:
    """Return what holds, in each of the ways that statements are run."""
    statement, given = text(EFFECTIVE), {"number": number}
    [direct] = DirectStatements(engine).rows(DirectStatement.of(statement), given)
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        alone = connection.execute(statement, given).one()
    with engine.begin() as connection:
        inside = [connection.execute(statement, given).one() for _ in range(2)]
    return [tuple(each) for each in (direct, alone, *inside)]


@pytest.mark.parametrize("kind", ["ours", "pgbouncer"])
def test_a_statement_whose_client_died_is_given_up(database_url: str, tmp_path: Path, kind: str) -> None:
    """The pooler ends its session, and PostgreSQL looks whether who asked is there."""
    asleep = f"SELECT pg_sleep(600) AS of_{kind}"
    count = "SELECT count(*) FROM pg_stat_activity WHERE query = %s AND state = 'active'"
    with (
        a_pooler(kind, database_url, tmp_path, ignores_options=True) as url,
        psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as other,
        ThreadPoolExecutor(1) as thread,
    ):
        # No other bound ends it sooner.
        engine = create_engine(url, connections=1, is_pooled=True, answer_within_s=600)
        with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            lost = thread.submit(connection.execute, text(asleep))
            until(lambda: other.execute(count, [asleep]).fetchone() == (1,), what="the statement is under way")
            cut(connection.connection.driver_connection)
            assert isinstance(lost.exception(), UnavailableError)
        until(lambda: other.execute(count, [asleep]).fetchone() == (0,), what="it is given up")
        engine.dispose()


def cut(connection: Any) -> None:  # noqa: ANN401 - psycopg's
    """End a connection as the kernel does when its process dies."""
    with socket.socket(fileno=os.dup(connection.fileno())) as own:
        own.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("kind", ["ours", "pgbouncer"])
def test_a_unit_of_work_is_told_its_timeouts_and_keeps_to_one_session(
    clean_database: str, tmp_path: Path, kind: str
) -> None:
    """Its reads alone, and its transactions, in which SQLAlchemy's statements and savepoints take part."""
    look = Statement(f"SELECT {', '.join(f'current_setting({name!r}) AS {name}' for name in NAMES)}", reads=True)
    lock = Statement("SELECT pg_advisory_xact_lock(:number)")
    wanted = tuple(TOLD[name] for name in NAMES)
    with a_pooler(kind, clean_database, tmp_path, ignores_options=True) as url:
        engine = create_engine(url, connections=3, is_pooled=True)
        for number in range(ROUNDS):
            work = Work(engine)
            assert tuple(work.ask(look).first()) == wanted
            work.ask(lock, number=number)
            assert tuple(work.ask(look).first()) == wanted
            assert tuple(work.session.execute(text(look.sql.decode())).one()) == wanted
            work.commit()
            work.close()
            stored_with_a_savepoint(engine)
        engine.dispose()


def stored_with_a_savepoint(engine: Engine) -> None:
    """Store a meeting in a transaction of which SQLAlchemy makes a part, and another part is undone; find it again."""
    with SqlAlchemyUnitOfWork(engine, BOX) as unit:
        own = unit.access.create_workspace(a_workspace()).id
        meeting = unit.meetings.create(a_meeting(workspace_id=own))
        with pytest.raises(psycopg.errors.ForeignKeyViolation), unit.savepoint():
            unit.events.append(an_event())
        unit.commit()
    with SqlAlchemyUnitOfWork(engine, BOX) as unit:
        assert unit.meetings.get(own, meeting.id, lock=True) is not None


def test_nothing_is_prepared_in_a_session_that_others_get(pooled: Engine) -> None:
    """However often the same statement is run."""
    direct, statement = DirectStatements(pooled), DirectStatement.of(text("SELECT CAST(:number AS integer)"))
    kept = text("SELECT count(*) FROM pg_prepared_statements WHERE name <> ''")
    for number in range(ROUNDS):
        assert direct.rows(statement, {"number": number}) == [(number,)]
        with pooled.begin() as connection:
            assert connection.scalar(kept) == 0


def test_a_statement_that_takes_too_long_is_ended_behind_a_pooler_too(pooler: PoolingProxy) -> None:
    """A statement alone and one in a transaction; and what it did before is undone."""
    engine = create_engine(pooler.url, is_pooled=True, answer_within_s=1)
    with pytest.raises(UnavailableError, match="QueryCanceled"):
        DirectStatements(engine).rows(DirectStatement.of(text("SELECT pg_sleep(60)")), {})
    with engine.connect() as connection:
        connection.execute(text("CREATE TABLE undone (id integer)"))
        with pytest.raises(UnavailableError, match="QueryCanceled"):
            connection.execute(text("SELECT pg_sleep(60)"))
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT to_regclass('undone')")) is None
    engine.dispose()


def test_a_direct_statement_that_is_refused_leaves_no_transaction_behind(pooled: Engine) -> None:
    """The session goes back to the pooler at once, and the connection serves the next statement."""
    direct = DirectStatements(pooled)
    divide = DirectStatement.of(text("SELECT 1 / CAST(:number AS integer)"))
    for _ in range(ROUNDS):
        with pytest.raises(psycopg.errors.DivisionByZero):
            direct.rows(divide, {"number": 0})
        assert direct.rows(divide, {"number": 1}) == [(1,)]
    with pooled.connect() as connection:
        idle = text("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'")
        assert connection.scalar(idle) == 0


@pytest.mark.parametrize(
    "command",
    [("noteflow_hooks.cli", "serve"), ("celery", "-A", "workers.app", "worker", "-P", "solo")],
    ids=["server", "worker"],
)
def test_a_program_does_not_start_behind_a_pooler_that_no_setting_names(
    pooler: PoolingProxy, redis_url: str, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """It ends with one line that names the setting."""
    given = {"database_url": pooler.url, "redis_url": redis_url, "secret_keys": generate_key()}
    ended = subprocess.run(
        [sys.executable, "-m", *command],
        env=variables(given),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert ended.returncode == 1
    line = ended.stderr.strip()
    assert line.startswith("noteflow-hooks: NOTEFLOW_HOOKS_DATABASE_URL leads to a pooler")
    assert "set NOTEFLOW_HOOKS_POSTGRES_POOLER to transaction" in line
    assert "\n" not in line


def test_doctor_tells_of_a_pooler_that_no_setting_names(
    pooler: PoolingProxy,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It fails, and says which setting to set; with it the database is well."""
    monkeypatch.chdir(tmp_path)
    for name, value in {"database_url": pooler.url, "redis_url": redis_url, "secret_keys": generate_key()}.items():
        monkeypatch.setenv(f"NOTEFLOW_HOOKS_{name.upper()}", value)
    lines = {}
    for kind in ("none", "transaction"):
        monkeypatch.setenv("NOTEFLOW_HOOKS_POSTGRES_POOLER", kind)
        doctor.main([], standalone_mode=False)
        [lines[kind]] = [line for line in capsys.readouterr().out.splitlines() if line.split()[1] == "postgres"]
    assert lines["none"].startswith("failed")
    assert "set NOTEFLOW_HOOKS_POSTGRES_POOLER to transaction" in lines["none"]
    assert lines["transaction"].startswith("ok")


def test_a_prepared_statement_that_is_gone_is_prepared_again(database_url: str) -> None:
    """Somebody cleaned the session up: it is tried again, in a new one."""
    engine = create_engine(database_url, connections=1)
    direct, statement = DirectStatements(engine), DirectStatement.of(text("SELECT CAST(:number AS integer)"))
    for number in range(ROUNDS):
        direct.rows(statement, {"number": number})
    lent = engine.raw_connection()
    # As somebody else would, past psycopg, which would take note of it.
    lent.driver_connection.pgconn.exec_(b"DEALLOCATE ALL")  # type: ignore[union-attr]  # it is psycopg's
    lent.close()
    with pytest.raises(UnavailableError, match="InvalidSqlStatementName"):
        direct.rows(statement, {"number": 1})
    assert direct.rows(statement, {"number": 1}) == [(1,)]
    engine.dispose()
