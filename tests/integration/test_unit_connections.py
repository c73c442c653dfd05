"""A unit of work and its connection: lost ones are found out by use, nothing is done twice, and round trips are few."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import text

from noteflow_hooks.application.meetings import stop_meeting
from noteflow_hooks.application.webhooks import WebhookService
from noteflow_hooks.crypto import SecretBox
from noteflow_hooks.domain.meetings import Segment
from noteflow_hooks.errors import UnavailableError
from noteflow_hooks.persistence.sql.at_hand import wire_of
from noteflow_hooks.persistence.sql.engine import create_engine
from noteflow_hooks.persistence.sql.unit_of_work import SqlAlchemyUnitOfWork
from noteflow_hooks.persistence.sql.wire import Asked, Statement
from tests.support.builders import a_meeting, a_webhook, a_workspace, an_event
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy.engine import Engine

    from noteflow_hooks.domain.access import Workspace

BOX: Final = SecretBox([bytes(32)])
NAME: Final = "unit-connections"


@pytest.fixture
def engine(clean_database: str) -> Iterator[Engine]:
    """Offer a pool of one connection, by whose name it is found in the database."""
    made = create_engine(f"{clean_database}&application_name={NAME}", connections=1)
    yield made
    made.dispose()


@pytest.fixture
def workspace(engine: Engine) -> Workspace:
    """Offer a workspace."""
    with SqlAlchemyUnitOfWork(engine, BOX) as unit:
        made = unit.access.create_workspace(a_workspace())
        unit.commit()
    return made


def cut(url: str) -> None:
    """End the session behind the connection, as a restart of PostgreSQL does, and wait until it is gone."""
    own = "FROM pg_stat_activity WHERE application_name = %s"
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        assert connection.execute(f"SELECT pg_terminate_backend(pid) {own}", [NAME]).fetchall()
        until(lambda: not connection.execute(f"SELECT {own}", [NAME]).fetchall(), what="the session has ended")


def titles(url: str) -> list[str]:
    """Return the titles of the meetings that are stored."""
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        return [row[0] for row in connection.execute("SELECT title FROM noteflow.meetings ORDER BY title").fetchall()]


@pytest.mark.parametrize(
    "first",
    [
        lambda unit, own: unit.webhooks.list_page(own, limit=5),
        lambda unit, own: unit.meetings.get(own, uuid4(), lock=True),
        lambda unit, own: unit.meetings.create(a_meeting(workspace_id=own, title="First")),
        lambda unit, own: unit.webhooks.create(a_webhook(workspace_id=own)),
        lambda unit, _: unit.access.list_workspaces(),
    ],
    ids=["a read", "a lock", "a change", "a change by SQLAlchemy", "a read by SQLAlchemy"],
)
def test_a_connection_that_was_lost_before_a_unit_costs_it_nothing(
    engine: Engine, workspace: Workspace, clean_database: str, first: Callable[..., object]
) -> None:
    """Whatever its first statement is, it runs on a new connection, and once."""
    cut(clean_database)
    with SqlAlchemyUnitOfWork(engine, BOX) as unit:
        first(unit, workspace.id)
        unit.meetings.create(a_meeting(workspace_id=workspace.id, title="Second"))
        unit.commit()
    assert titles(clean_database) in (["Second"], ["First", "Second"])


def test_a_connection_that_is_lost_within_a_unit_loses_all_of_it(
    engine: Engine, workspace: Workspace, clean_database: str
) -> None:
    """Who goes on all the same is refused at each step: the unit's rest is not stored without its beginning."""
    with SqlAlchemyUnitOfWork(engine, BOX) as unit:
        unit.meetings.create(a_meeting(workspace_id=workspace.id, title="Lost"))
        assert unit.meetings.count(workspace.id) == 1
        cut(clean_database)
        for again in (
            lambda: unit.meetings.count(workspace.id),
            lambda: unit.events.append(an_event(workspace_id=workspace.id)),
            unit.access.list_workspaces,
            unit.commit,
        ):
            with pytest.raises(UnavailableError):
                again()
    assert titles(clean_database) == []
    with SqlAlchemyUnitOfWork(engine, BOX) as unit:
        assert unit.meetings.count(workspace.id) == 0


def test_a_unit_that_a_commit_was_lost_of_is_not_done_again(
    engine: Engine, workspace: Workspace, clean_database: str
) -> None:
    """Nobody knows whether it was carried out: the caller is told so."""
    with SqlAlchemyUnitOfWork(engine, BOX) as unit:
        unit.meetings.create(a_meeting(workspace_id=workspace.id, title="Once"))
        assert unit.meetings.count(workspace.id) == 1
        cut(clean_database)
        with pytest.raises(UnavailableError):
            unit.commit()
    assert titles(clean_database) == []


def test_a_unit_in_which_a_statement_was_refused_is_not_committed_in_silence(
    engine: Engine, workspace: Workspace, clean_database: str
) -> None:
    """PostgreSQL would answer the commit with a rollback, and no error."""
    with SqlAlchemyUnitOfWork(engine, BOX) as unit:
        unit.meetings.create(a_meeting(workspace_id=workspace.id))
        with pytest.raises(psycopg.errors.ForeignKeyViolation) as caught:
            unit.events.append(an_event())
        assert "\n" not in str(caught.value)
        with pytest.raises(psycopg.errors.InFailedSqlTransaction, match="can't be committed"):
            unit.commit()
    assert titles(clean_database) == []


def test_an_outer_part_is_undone_whole_though_an_inner_one_was_undone_before(
    engine: Engine, workspace: Workspace, clean_database: str
) -> None:
    """Savepoints within each other have names of their own."""
    with SqlAlchemyUnitOfWork(engine, BOX) as unit:
        unit.meetings.create(a_meeting(workspace_id=workspace.id, title="Before"))
        with suppress(ZeroDivisionError), unit.savepoint():
            unit.meetings.create(a_meeting(workspace_id=workspace.id, title="Outer"))
            with suppress(KeyError), unit.savepoint():
                unit.meetings.create(a_meeting(workspace_id=workspace.id, title="Inner"))
                unit.meetings.count(workspace.id)
                raise KeyError
            unit.meetings.count(workspace.id)
            raise ZeroDivisionError
        unit.commit()
    assert titles(clean_database) == ["Before"]


def test_a_change_that_waits_for_a_savepoint_s_end_is_refused_inside_it(
    engine: Engine, workspace: Workspace, clean_database: str
) -> None:
    """Its error comes out there, where it is dealt with, and the rest of the unit goes on."""
    with SqlAlchemyUnitOfWork(engine, BOX) as unit:
        unit.meetings.create(a_meeting(workspace_id=workspace.id, title="Kept"))
        with pytest.raises(psycopg.errors.ForeignKeyViolation), unit.savepoint():
            unit.meetings.create(a_meeting(title="Nobody's"))
        unit.commit()
    assert titles(clean_database) == ["Kept"]


def test_what_is_prepared_outlives_a_rollback_of_sqlalchemys(engine: Engine, workspace: Workspace) -> None:
    """Left to itself, psycopg would then have the server forget all prepared statements of the session, ours too."""
    for number in range(12):
        with SqlAlchemyUnitOfWork(engine, BOX) as unit:
            unit.meetings.count(workspace.id)
            # Often enough for psycopg to prepare it.
            unit.access.list_workspaces()
        with suppress(ZeroDivisionError), engine.begin() as connection:
            connection.execute(text("SELECT CAST(:number AS integer)"), {"number": number})
            raise ZeroDivisionError
    with engine.connect() as connection:
        found = connection.execute(text("SELECT name FROM pg_prepared_statements")).scalars().all()
    assert {name.partition("_")[0] for name in found} >= {"noteflow"}
    with SqlAlchemyUnitOfWork(engine, BOX) as unit:
        assert unit.meetings.count(workspace.id) == 0


def test_statements_larger_than_any_buffer_go_along_with_answers_that_are(engine: Engine, workspace: Workspace) -> None:
    """Neither side waits for the other to read."""
    meeting, long = a_meeting(workspace_id=workspace.id), "x" * 9_000
    segments = [Segment(long, number, number + 1, "Ada") for number in range(500)]
    with SqlAlchemyUnitOfWork(engine, BOX) as unit:
        unit.meetings.create(meeting)
        unit.meetings.add_segments(meeting.id, segments)
        unit.meetings.add_segments(meeting.id, segments)
        assert unit.meetings.get_segments(meeting.id) == segments + segments
        unit.commit()


def test_a_statement_that_a_part_of_a_round_trip_refuses_keeps_what_was_prepared_before_it(engine: Engine) -> None:
    """What went well before the refusal is prepared, and what came after is not: both run again."""
    good, bad, late = Statement("SELECT 1 AS one"), Statement("SELECT 1 / CAST(:by AS integer)"), Statement("SELECT 2")
    lent = engine.raw_connection()
    wire = wire_of(lent)
    for _ in range(2):
        with pytest.raises(psycopg.errors.DivisionByZero):
            wire.run([Asked(good, {}), Asked(bad, {"by": 0}), Asked(late, {})])
    asked = [Asked(good, {}), Asked(bad, {"by": 1}), Asked(late, {}), Asked(good, {})]
    wire.run(asked)
    assert [each.rows for each in asked] == [[(1,)], [(1,)], [(2,)], [(1,)]]
    lent.close()


@contextmanager
def round_trips(engine: Engine, folder: Path) -> Iterator[list[int]]:
    """Count the round trips of the only connection, by libpq's own trace of what it sends."""
    lent: Any = engine.raw_connection()
    pgconn = lent.driver_connection.pgconn
    lent.close()
    counted: list[int] = []
    trace = os.open(folder / "trace", os.O_CREAT | os.O_RDWR)
    pgconn.trace(trace)
    yield counted
    pgconn.untrace()
    os.close(trace)
    counted.append(len(re.findall(r"\tF\t\d+\t(?:Sync|Query)\b", (folder / "trace").read_text())))


def test_a_list_takes_a_round_trip_for_each_statement_and_none_besides(
    engine: Engine, workspace: Workspace, tmp_path: Path
) -> None:
    """No look whether the connection lives, no BEGIN, no COMMIT."""
    with round_trips(engine, tmp_path) as counted, SqlAlchemyUnitOfWork(engine, BOX) as unit:
        unit.webhooks.list_page(workspace.id, limit=5)
        unit.webhooks.count(workspace.id)
        unit.commit()
    assert counted == [2]


@pytest.mark.parametrize(("webhooks", "trips"), [(False, 3), (True, 4)], ids=["webhooks off", "webhooks on"])
def test_stopping_a_meeting_takes_few_round_trips(
    engine: Engine, workspace: Workspace, tmp_path: Path, *, webhooks: bool, trips: int
) -> None:
    """The lock with the looks, the change with the look at it, the event under its savepoint, and the commit."""
    with SqlAlchemyUnitOfWork(engine, BOX) as unit:
        meeting = unit.meetings.create(a_meeting(workspace_id=workspace.id, created_at=datetime.now(UTC)))
        unit.commit()
    service = WebhookService(lambda: SqlAlchemyUnitOfWork(engine, BOX), lambda _: None) if webhooks else None
    with round_trips(engine, tmp_path) as counted, SqlAlchemyUnitOfWork(engine, BOX) as unit:
        stop_meeting(unit, service, workspace.id, meeting.id)
        unit.commit()
    assert counted == [trips]


def test_the_connection_that_was_used_last_is_lent_next(clean_database: str) -> None:
    """While one is enough, the others rest, and each call finds what the last one left in its session's caches."""
    engine = create_engine(clean_database, connections=3)
    lent = [engine.raw_connection() for _ in range(3)]
    last = lent[-1].dbapi_connection
    for each in lent:
        each.close()
    for _ in range(5):
        again = engine.raw_connection()
        assert again.dbapi_connection is last
        again.close()
    engine.dispose()
