"""Counting in PostgreSQL: what commits late, what is killed, two at once, and a clock that is set back."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from noteflow_hooks.domain.stats import Measure
from noteflow_hooks.persistence.sql.engine import create_engine
from noteflow_hooks.persistence.sql.maintenance import rollup_statements
from noteflow_hooks.persistence.sql.maintenance.rollups import SqlAlchemyStatsKeeper
from tests.support.roll_ups import count_all

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection, Engine

#: A delivered event, as a settle leaves it, its ids made at the moment that is given as seconds from now.
_DELIVERED = text("""
WITH moment AS (
    SELECT clock_timestamp() + make_interval(secs => :after_s) AS at
), event AS (
    INSERT INTO noteflow.webhook_events (workspace_id, event_type, payload, occurred_at, created_at, dispatched_at)
    SELECT (SELECT id FROM noteflow.workspaces), 'meeting.completed', '{}', at, at, at FROM moment
    RETURNING id, workspace_id
), delivery AS (
    INSERT INTO noteflow.webhook_deliveries
        (workspace_id, webhook_id, event_id, event_type, status, status_code, delivered_at, attempt_count)
    SELECT workspace_id, gen_random_uuid(), id, 'meeting.completed', 'succeeded', 200, at, 1 FROM event, moment
    RETURNING id
)
INSERT INTO noteflow.webhook_attempts (id, delivery_id, attempt_number, started_at, duration_ms, status_code)
SELECT overlay(noteflow.ordered_id()::text PLACING left(
           regexp_replace(lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0'), '^(.{8})', '\\1-'), 13
       ) FROM 1 FOR 13)::uuid, id, 1, at, 12, 200
FROM delivery, moment
""")


@pytest.fixture
def engine(clean_database: str) -> Iterator[Engine]:
    """Offer the emptied database with a workspace."""
    engine = create_engine(clean_database, connections=4)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO noteflow.workspaces (name) VALUES ('w')"))
    yield engine
    engine.dispose()


def deliver(connection: Connection, *, after_s: float = 0) -> None:
    """Record a delivered event."""
    connection.execute(_DELIVERED, {"after_s": after_s})


def counted(keeper: SqlAlchemyStatsKeeper) -> tuple[int, int]:
    """Return how many events and attempts were counted."""
    totals = keeper.totals()
    return (
        sum(each.number for each in totals if each.measure == Measure.EVENT),
        sum(each.number for each in totals if each.measure == Measure.ATTEMPT),
    )


def count_now(engine: Engine, keeper: SqlAlchemyStatsKeeper, *, after_s: float = 0) -> None:
    """Count all that has happened by now, or will have by so much later."""
    with engine.connect() as connection:
        now = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    count_all(keeper, until_now=now + timedelta(seconds=after_s))


@contextmanager
def open_transaction(engine: Engine) -> Iterator[Connection]:
    """Have a delivered event be recorded by a transaction that commits at the block's end."""
    with engine.connect() as connection, connection.begin():
        deliver(connection)
        yield connection


def test_what_commits_late_is_counted_once(engine: Engine) -> None:
    """Others have committed, and been counted, meanwhile: counting waits before the oldest that is open."""
    keeper = SqlAlchemyStatsKeeper(engine)
    with engine.begin() as connection:
        deliver(connection)
    count_now(engine, keeper)
    with open_transaction(engine):
        with engine.begin() as connection:
            deliver(connection)
        for _ in range(3):
            keeper.roll_up()
        assert counted(keeper)[0] < 3
    count_now(engine, keeper)
    assert counted(keeper) == (3, 3)


def test_what_is_of_the_moment_of_counting_is_left_to_the_next_run(engine: Engine) -> None:
    """Others may still come in the same millisecond: so it is counted once, and a moment later."""
    keeper = SqlAlchemyStatsKeeper(engine)
    with engine.begin() as connection:
        deliver(connection, after_s=0.3)
    keeper.roll_up()
    assert counted(keeper) == (0, 0)
    count_now(engine, keeper, after_s=0.3)
    assert counted(keeper) == (1, 1)


def test_counting_that_is_cut_off_is_done_again_as_a_whole(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """At its last step: what was added is undone with it, totals and all."""
    keeper = SqlAlchemyStatsKeeper(engine)
    with engine.begin() as connection:
        deliver(connection)
    with monkeypatch.context() as patched:
        patched.setattr(rollup_statements, "NOTE", text("SELECT 1 / 0 FROM (VALUES (:counted_to, :seen_to)) AS given"))
        with pytest.raises(Exception, match="division by zero"):
            keeper.roll_up()
    assert counted(keeper) == (0, 0)
    count_now(engine, keeper)
    assert counted(keeper) == (1, 1)


def test_two_that_count_at_once_count_once(engine: Engine) -> None:
    """One of them counts, the other leaves it at that; the totals are what happened, however they meet."""
    keeper = SqlAlchemyStatsKeeper(engine)
    done = threading.Event()

    def count() -> None:
        while not done.is_set():
            keeper.roll_up()

    threads = [threading.Thread(target=count) for _ in range(2)]
    for each in threads:
        each.start()
    for _ in range(30):
        with engine.begin() as connection:
            deliver(connection)
    done.set()
    for each in threads:
        each.join()
    count_now(engine, keeper)
    assert counted(keeper) == (30, 30)


def test_a_clock_that_is_set_back_hides_nothing(engine: Engine) -> None:
    """What happens then has moments that were counted before, beside others of the same minutes."""
    keeper = SqlAlchemyStatsKeeper(engine)
    with engine.begin() as connection:
        for after_s in (-2400, -2400.5, -30):
            deliver(connection, after_s=after_s)
    keeper.roll_up()
    assert counted(keeper) == (3, 3)
    with engine.begin() as connection:
        # As if all of that, and the count, had been made an hour later than it was: the clock has gone back since.
        connection.execute(text("UPDATE noteflow.stats_progress SET counted_to = counted_to + interval '1 hour'"))
        connection.execute(text("UPDATE noteflow.stats_progress SET seen_to = counted_to"))
        deliver(connection)
    for _ in range(2):
        keeper.roll_up()
        assert counted(keeper) == (4, 4)
    with engine.begin() as connection:
        deliver(connection)
        deliver(connection, after_s=1200)
    for _ in range(2):
        keeper.roll_up()
        assert counted(keeper) == (6, 6)


def test_a_time_in_which_nothing_happened_is_passed_over(engine: Engine) -> None:
    """Counting begins with the oldest event, and comes to the present in a few steps, whatever lies between."""
    keeper = SqlAlchemyStatsKeeper(engine)
    with engine.begin() as connection:
        deliver(connection, after_s=-timedelta(days=400).total_seconds())
        deliver(connection)
    keeper.roll_up(within=timedelta(seconds=20))
    count_now(engine, keeper)
    assert counted(keeper) == (2, 2)
