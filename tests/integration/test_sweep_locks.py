"""The sweep behind a lock on the tables that results are stored in: it lets those go first, and not for ever."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import text

from noteflow_hooks.crypto import SecretBox
from noteflow_hooks.errors import UnavailableError
from noteflow_hooks.persistence.sql.delivery.lock_patience import LINE
from noteflow_hooks.persistence.sql.delivery.restart_patience import MET
from noteflow_hooks.persistence.sql.delivery.store import SqlAlchemyDeliveryStore
from noteflow_hooks.persistence.sql.engine import create_engine
from noteflow_hooks.persistence.sql.unit_of_work import SqlAlchemyUnitOfWork
from tests.support.builders import a_webhook, a_workspace, an_event
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Engine

BOX: Final = SecretBox([])
PERIOD: Final = timedelta(seconds=5)
EVENTS: Final = 3
#: How many of ours have waited for a lock for so long.
WAITING: Final = """
SELECT count(*) FROM pg_stat_activity
WHERE application_name ^@ 'noteflow-hooks' AND wait_event_type = 'Lock'
  AND clock_timestamp() - query_start > make_interval(secs => %s)
"""
LONG_S: Final = 1.1
PAST: Final = text("UPDATE noteflow.webhook_deliveries SET lease_expires_at = lease_expires_at - interval '1 hour'")
#: As if so much time had gone by since the sweep last waited.
LATER: Final = text("UPDATE noteflow.task_runs SET ended_at = ended_at - :by WHERE starts_with(name, 'sweep waited')")


@pytest.fixture
def engine(clean_database: str) -> Iterator[Engine]:
    made = create_engine(clean_database)
    yield made
    made.dispose()


@pytest.fixture
def store(engine: Engine) -> SqlAlchemyDeliveryStore:
    """Offer a store in which some leases have run out."""
    made = SqlAlchemyDeliveryStore(engine, BOX, sweep_every=PERIOD)
    with SqlAlchemyUnitOfWork(engine, BOX) as unit:
        workspace = unit.access.create_workspace(a_workspace())
        webhook = unit.webhooks.create(a_webhook(workspace_id=workspace.id))
        for _ in range(EVENTS):
            unit.events.append(an_event(workspace_id=webhook.workspace_id))
        unit.commit()
    made.dispatch([], limit=10)
    assert len(made.claim([], limit=10, lease_slack=timedelta(0))) == EVENTS
    with engine.begin() as connection:
        connection.execute(PAST)
    return made


@contextmanager
def locked(engine: Engine, table: str = "webhook_deliveries") -> Iterator[psycopg.Connection]:
    """Hold the table, as who rewrites it, for as long as the block runs."""
    with psycopg.connect(str(engine.url.render_as_string(hide_password=False)).replace("+psycopg", "")) as connection:
        connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(sql.Identifier("noteflow", table)))
        yield connection


def reclaimed_behind_a_lock(
    engine: Engine,
    store: SqlAlchemyDeliveryStore,
    *,
    table: str = "webhook_deliveries",
    runs: int = 1,
    long_s: float = LONG_S,
) -> list[int]:
    """Return what each of some runs reclaims that waited so long for the table."""
    with ThreadPoolExecutor(runs) as threads:
        with locked(engine, table) as other:
            sweeps = [threads.submit(store.reclaim_expired, limit=10) for _ in range(runs)]
            until(lambda: waiting(other, long_s), what="a sweep waits")
        return [sweep.result() for sweep in sweeps]


def waiting(other: psycopg.Connection, long_s: float) -> int:
    other.execute("SELECT pg_stat_clear_snapshot()")
    [(count,)] = other.execute(WAITING, [long_s]).fetchall()
    return int(count)


def let_pass(engine: Engine, by: timedelta) -> None:
    with engine.begin() as connection:
        connection.execute(LATER, {"by": by})


@pytest.mark.parametrize("table", ["webhook_deliveries", "webhook_attempts", "webhook_health"])
def test_a_sweep_that_waited_for_a_lock_reclaims_nothing_until_a_period_later(
    engine: Engine, store: SqlAlchemyDeliveryStore, table: str
) -> None:
    """On whichever table of those that a result is stored in; then it reclaims what has run out."""
    assert reclaimed_behind_a_lock(engine, store, table=table) == [0]
    assert store.reclaim_expired(limit=10) == 0
    let_pass(engine, PERIOD)
    assert store.reclaim_expired(limit=10) == EVENTS


def test_a_sweep_that_waited_for_a_moment_reclaims_at_once(engine: Engine, store: SqlAlchemyDeliveryStore) -> None:
    """As behind any statement of others."""
    assert reclaimed_behind_a_lock(engine, store, long_s=0.1) == [EVENTS]


def test_under_lasting_contention_the_fourth_run_in_a_row_reclaims(
    engine: Engine, store: SqlAlchemyDeliveryStore
) -> None:
    """A dead worker's deliveries come back, whoever holds the table again and again; and then it begins anew."""
    assert [reclaimed_behind_a_lock(engine, store) for _ in range(4)] == [[0], [0], [0], [EVENTS]]
    with engine.begin() as connection:
        assert connection.scalars(text("SELECT name FROM noteflow.task_runs")).all() == [MET]


def test_sweeps_that_wait_for_one_lock_are_one_run(engine: Engine, store: SqlAlchemyDeliveryStore) -> None:
    """However many there are, of however many workers: their number alone reclaims nothing."""
    assert reclaimed_behind_a_lock(engine, store, runs=5) == [0] * 5
    with engine.begin() as connection:
        names = connection.scalars(text("SELECT name FROM noteflow.task_runs")).all()
    assert names == ["sweep waited 1"]


def test_a_sweep_beside_another_leaves_it_to_that_one(engine: Engine, store: SqlAlchemyDeliveryStore) -> None:
    """It does not stand behind it for long: that one may be frozen, and tasks that wait take others' places."""
    with engine.begin() as frozen:
        frozen.execute(text(f"SELECT pg_advisory_xact_lock({LINE})"))
        assert store.reclaim_expired(limit=10) == 0
    assert store.reclaim_expired(limit=10) == EVENTS


def test_a_run_without_a_wait_ends_the_row(engine: Engine, store: SqlAlchemyDeliveryStore) -> None:
    """What comes after it is counted from the beginning."""
    for _ in range(2):
        assert reclaimed_behind_a_lock(engine, store) == [0]
    let_pass(engine, PERIOD)
    assert store.reclaim_expired(limit=1) == 1
    assert reclaimed_behind_a_lock(engine, store) == [0]


def test_a_sweep_that_waited_in_vain_counts_for_the_next_ones(
    clean_database: str, engine: Engine, store: SqlAlchemyDeliveryStore
) -> None:
    """Its statement was ended, and the lock may have outlasted it by up to a period: two of them go by."""
    hasty = create_engine(clean_database, answer_within_s=2)
    with locked(engine), pytest.raises(UnavailableError, match="QueryCanceled"):
        SqlAlchemyDeliveryStore(hasty, BOX, sweep_every=PERIOD).reclaim_expired(limit=10)
    hasty.dispose()
    for _ in range(2):
        assert store.reclaim_expired(limit=10) == 0
        let_pass(engine, PERIOD)
    assert store.reclaim_expired(limit=10) == EVENTS
