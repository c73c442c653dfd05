"""The sweep after PostgreSQL was away: what workers hold results of is left to them, however long its recovery took."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlsplit

import psycopg
import pytest
from sqlalchemy import text

from noteflow_hooks.crypto import SecretBox
from noteflow_hooks.delivery.tuning import STORE_PAUSES_S
from noteflow_hooks.local.servers import EmbeddedPostgres
from noteflow_hooks.persistence.sql.delivery.restart_patience import MET, PATIENCE, claimed_from
from noteflow_hooks.persistence.sql.delivery.store import SqlAlchemyDeliveryStore
from noteflow_hooks.persistence.sql.engine import _DEFAULTS, create_engine
from noteflow_hooks.persistence.sql.unit_of_work import SqlAlchemyUnitOfWork
from tests.support.builders import a_webhook, a_workspace, an_event
from tests.support.clusters import put_cluster
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy.engine import Engine

BOX: Final = SecretBox([])
PAST: Final = text("UPDATE noteflow.webhook_deliveries SET lease_expires_at = now() - interval '1 hour'")
#: As if the last sweep had met another server, which is what a standby is that has taken over.
ANOTHER: Final = text("UPDATE noteflow.task_runs SET began_at = began_at - interval '9 days' WHERE name = :name")
#: As if so much time had gone by since the sweep met this server.
LATER: Final = text("UPDATE noteflow.task_runs SET ended_at = ended_at - :by WHERE name = :name")


@pytest.fixture
def engine(clean_database: str) -> Iterator[Engine]:
    with engine_of(clean_database) as made:
        yield made


@contextlib.contextmanager
def engine_of(url: str) -> Iterator[Engine]:
    made = create_engine(url)
    try:
        yield made
    finally:
        made.dispose()


def store_with(engine: Engine, leases: int) -> SqlAlchemyDeliveryStore:
    """Return a store in which so many leases have run out, and whose sweep has met the server before."""
    made = SqlAlchemyDeliveryStore(engine, BOX)
    made.reclaim_expired(limit=10)
    with SqlAlchemyUnitOfWork(engine, BOX) as unit:
        workspace = unit.access.create_workspace(a_workspace())
        unit.webhooks.create(a_webhook(workspace_id=workspace.id))
        for _ in range(leases):
            unit.events.append(an_event(workspace_id=workspace.id))
        unit.commit()
    made.dispatch([], limit=10)
    assert len(made.claim([], limit=10, lease_slack=timedelta(0))) == leases
    run(engine, PAST)
    return made


def run(engine: Engine, statement: object, **params: object) -> None:
    with engine.begin() as connection:
        connection.execute(statement, params)  # type: ignore[call-overload]  # one of the texts above


def test_a_server_that_has_taken_over_gives_workers_time(engine: Engine) -> None:
    """However long it has run: what was claimed before the sweep met it stays with its workers for a while."""
    store = store_with(engine, leases=2)
    run(engine, ANOTHER, name=MET)
    assert [store.reclaim_expired(limit=10) for _ in range(2)] == [0, 0]
    run(engine, LATER, name=MET, by=PATIENCE)
    assert store.reclaim_expired(limit=10) == 2


def test_what_is_claimed_after_that_comes_back_at_once(engine: Engine) -> None:
    """Its worker has died since, and holds nothing back."""
    store = store_with(engine, leases=1)
    run(engine, ANOTHER, name=MET)
    assert store.reclaim_expired(limit=10) == 0
    run(engine, text("UPDATE noteflow.webhook_deliveries SET claimed_at = clock_timestamp()"))
    assert store.reclaim_expired(limit=10) == 1


def test_a_sweep_that_fails_gives_the_time_anew(engine: Engine) -> None:
    """What it has noted goes with its transaction: nobody's time has begun."""
    store_with(engine, leases=1)
    run(engine, ANOTHER, name=MET)
    for _ in range(2):
        with engine.connect() as connection:
            since = claimed_from(connection)
            assert since is not None
            assert since <= connection.scalar(text("SELECT clock_timestamp()"))
            connection.rollback()


def test_a_clock_that_was_set_back_holds_up_no_sweep(engine: Engine) -> None:
    """The moment at which the server was met is to come: nobody waits for it."""
    store = store_with(engine, leases=1)
    run(engine, LATER, name=MET, by=timedelta(days=-30_000))
    assert store.reclaim_expired(limit=10) == 1


def test_the_time_is_enough_for_a_worker_s_next_try() -> None:
    """Its longest pause, and a try to connect after it."""
    connect_s = float(_DEFAULTS["connect_timeout"])
    assert PATIENCE.total_seconds() > STORE_PAUSES_S[-1] + connect_s + 1


def test_each_kind_of_restart_is_seen_by_a_role_without_rights(tmp_path: Path) -> None:
    """Ended well, killed, and crashed by the death of one session, which the postmaster outlives: each is met anew."""
    put_cluster(tmp_path)
    with EmbeddedPostgres(tmp_path, settings={"fsync": "off"}) as server:
        with psycopg.connect(libpq(server), autocommit=True) as own:
            own.execute("CREATE ROLE plain LOGIN")
            own.execute("GRANT USAGE ON SCHEMA noteflow TO plain")
            own.execute("GRANT SELECT, INSERT, UPDATE ON noteflow.task_runs TO plain")
        # Where nobody has swept before, nobody holds anything.
        assert [met(server), met(server)] == [False, False]
        server.stop()
        server.start()
        assert met(server)
        with psycopg.connect(libpq(server)) as own:
            os.kill(own.info.backend_pid, signal.SIGKILL)
            until(lambda: is_cut_off(own), what="the crash ends all sessions")
        assert met(server)
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        until(lambda: server.pid is None, what="the server ends")
        server.start()
        assert met(server)


@pytest.mark.chaos
def test_a_standby_that_takes_over_is_met_anew(tmp_path: Path) -> None:
    """A real one, which has run for as long as the primary whose rows it has."""
    put_cluster(tmp_path / "primary")
    subprocess.run(["cp", "-a", str(tmp_path / "primary"), str(tmp_path / "standby")], check=True)  # noqa: S607 - wherever the system has it
    with EmbeddedPostgres(tmp_path / "primary", settings={"fsync": "off"}) as primary:
        mark = tmp_path / "standby" / "data" / "standby.signal"
        shutil.copy2(mark.with_name("PG_VERSION"), mark)
        shutil.chown(mark, mark.with_name("PG_VERSION").owner())
        place = dict(parse_qsl(urlsplit(primary.url).query))
        settings = {"fsync": "off", "primary_conninfo": f"host={place['host']} port={place['port']} user=noteflow"}
        with EmbeddedPostgres(tmp_path / "standby", settings=settings) as standby:
            with psycopg.connect(libpq(standby), autocommit=True) as own:
                with engine_of(primary.url) as engine, engine.begin() as connection:
                    assert claimed_from(connection) is None
                found = "SELECT count(*) FROM noteflow.task_runs WHERE name = %s"
                until(lambda: own.execute(found, [MET]).fetchone() == (1,), what="the standby has the row")
                primary.stop()
                own.execute("SELECT pg_promote()")
            with engine_of(standby.url) as engine, engine.begin() as connection:
                assert claimed_from(connection) is not None


def libpq(server: EmbeddedPostgres) -> str:
    return server.url.replace("+psycopg", "")


def is_cut_off(own: psycopg.Connection) -> bool:
    with contextlib.suppress(psycopg.OperationalError):
        own.execute("SELECT 1")
        return False
    return True


def met(server: EmbeddedPostgres) -> bool:
    """Sweep as an ordinary role, and let its time pass; return whether it met the server just then."""
    with engine_of(server.url.replace("//noteflow@", "//plain@")) as engine:
        until(lambda: _answers(engine), what="the server has recovered")
        with engine.begin() as connection:
            first = claimed_from(connection)
        run(engine, LATER, name=MET, by=PATIENCE)
        with engine.begin() as connection:
            assert claimed_from(connection) is None
    return first is not None


def _answers(engine: Engine) -> bool:
    with contextlib.suppress(Exception), engine.connect() as connection:
        return bool(connection.scalar(text("SELECT true")))
    return False
