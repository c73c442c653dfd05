"""The numbers of a meeting's events in PostgreSQL: with many servers at once, and one of the release before."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import psycopg
import pytest
from sqlalchemy import text

from noteflow_hooks.crypto import SecretBox
from noteflow_hooks.errors import AlreadyExistsError
from noteflow_hooks.persistence.sql.engine import create_engine
from noteflow_hooks.persistence.sql.intake import SqlEventIntake
from noteflow_hooks.persistence.sql.unit_of_work import SqlAlchemyUnitOfWork
from tests.support.builders import a_workspace, an_event
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from sqlalchemy.engine import Engine

    from noteflow_hooks.domain.events import Event

BOX: Final = SecretBox([])
SERVERS: Final = 4
ROUNDS: Final = 30
#: What a server of the release before runs, which knows nothing of numbers.
FORMER_INSERT: Final = """
INSERT INTO noteflow.webhook_events (workspace_id, event_type, meeting_id, payload, idempotency_key, occurred_at)
VALUES (%s, 'recording.started', %s, '{}', %s, now()) ON CONFLICT DO NOTHING RETURNING id
"""
#: Statements that number events and wait for a lock.
WAITING: Final = """
SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%meeting_sequences%'
"""


@pytest.fixture
def engine(clean_database: str) -> Iterator[Engine]:
    made = create_engine(clean_database)
    yield made
    made.dispose()


@pytest.fixture
def former(clean_database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(clean_database.replace("+psycopg", ""), autocommit=True) as connection:
        yield connection


@pytest.fixture
def workspace_id(engine: Engine) -> UUID:
    with SqlAlchemyUnitOfWork(engine, BOX) as unit:
        made = unit.access.create_workspace(a_workspace())
        unit.commit()
    return made.id


def numbers(engine: Engine, meeting_id: str) -> list[int]:
    statement = text("SELECT sequence FROM noteflow.webhook_events WHERE meeting_id = :meeting_id ORDER BY sequence")
    with engine.connect() as connection:
        return list(connection.scalars(statement, {"meeting_id": meeting_id}))


def test_servers_with_crossed_meetings_and_keys_neither_lock_each_other_nor_leave_a_gap(
    engine: Engine, workspace_id: UUID
) -> None:
    """Groups of several servers with the same keys, their meetings in opposite orders: each number is there once."""
    meetings = ["a", "b-1", "b_1", "B", "é"]
    intakes = [SqlEventIntake(engine) for _ in range(SERVERS)]

    def publish(server: int) -> None:
        own = meetings if server % 2 else meetings[::-1]
        for number in range(ROUNDS):
            keyed = [
                an_event(
                    workspace_id=workspace_id, meeting_id=each, idempotency_key=f"{each}{number}", request_digest=b"1"
                )
                for each in own
            ]
            free = [an_event(workspace_id=workspace_id, meeting_id=each) for each in own]
            stored = intakes[server].store([*keyed, *free] if number % 3 else keyed[:1])
            assert not any(isinstance(each, AlreadyExistsError) for each in stored)

    with ThreadPoolExecutor(SERVERS) as pool:
        list(pool.map(publish, range(SERVERS)))
    for each in meetings:
        found = numbers(engine, each)
        assert found == list(range(1, len(found) + 1))
        assert len(found) >= ROUNDS


def test_a_key_that_two_meetings_race_for_takes_one_number(
    engine: Engine, workspace_id: UUID, former: psycopg.Connection
) -> None:
    """The one that comes second finds out only as it inserts; the number that it took goes back."""
    first = an_event(workspace_id=workspace_id, meeting_id="m", idempotency_key="k", request_digest=b"1")
    second = an_event(workspace_id=workspace_id, meeting_id="n", idempotency_key="k", request_digest=b"1")
    with SqlAlchemyUnitOfWork(engine, BOX) as unit, ThreadPoolExecutor(1) as pool:
        unit.events.append(first)
        late = pool.submit(SqlEventIntake(engine).store, [second])
        until(lambda: former.execute(WAITING).fetchone() == (1,), what="the second one waits for the key")
        unit.commit()
        [stored] = late.result(timeout=20)
    assert isinstance(stored, type(first))
    assert stored.id == first.id
    assert numbers(engine, "n") == []
    [after] = SqlEventIntake(engine).store([an_event(workspace_id=workspace_id, meeting_id="n")])
    assert isinstance(after, type(first))
    assert after.sequence == 1


def test_a_unit_goes_on_behind_a_race_for_a_key(engine: Engine, workspace_id: UUID, former: psycopg.Connection) -> None:
    """What it has stored before stays, and the numbers have no gap."""

    def keyed(meeting_id: str) -> Event:
        return an_event(workspace_id=workspace_id, meeting_id=meeting_id, idempotency_key="k", request_digest=b"1")

    with SqlAlchemyUnitOfWork(engine, BOX) as unit, SqlAlchemyUnitOfWork(engine, BOX) as other:
        unit.events.append(keyed("m"))
        assert other.events.append(an_event(workspace_id=workspace_id, meeting_id="n")).sequence == 1
        with ThreadPoolExecutor(1) as pool:
            late = pool.submit(other.events.append, keyed("n"))
            until(lambda: former.execute(WAITING).fetchone() == (1,), what="the second one waits for the key")
            unit.commit()
            assert late.result(timeout=20).meeting_id == "m"
        assert other.events.append(an_event(workspace_id=workspace_id, meeting_id="n")).sequence == 2
        other.commit()
    assert (numbers(engine, "m"), numbers(engine, "n")) == ([1], [1, 2])


def test_a_server_of_the_release_before_has_its_events_numbered(
    engine: Engine, workspace_id: UUID, former: psycopg.Connection
) -> None:
    """Among those of this release, without a gap, also where it repeats a key; what is about no meeting has none."""
    [stored] = SqlEventIntake(engine).store([an_event(workspace_id=workspace_id, meeting_id="m")])
    for key in (None, "k", "k", None):
        former.execute(FORMER_INSERT, (workspace_id, "m", key))
    former.execute(FORMER_INSERT, (workspace_id, None, None))
    [last] = SqlEventIntake(engine).store([an_event(workspace_id=workspace_id, meeting_id="m")])
    assert not isinstance(stored, AlreadyExistsError)
    assert not isinstance(last, AlreadyExistsError)
    assert (stored.sequence, last.sequence) == (1, 5)
    assert numbers(engine, "m") == [1, 2, 3, 4, 5]
    assert former.execute("SELECT sequence FROM noteflow.webhook_events WHERE meeting_id IS NULL").fetchall() == [
        (None,)
    ]


def test_a_counter_outlives_its_events_and_goes_with_the_workspace(
    engine: Engine, workspace_id: UUID, former: psycopg.Connection
) -> None:
    """So that a number is never given twice."""
    intake = SqlEventIntake(engine)
    intake.store([an_event(workspace_id=workspace_id, meeting_id="m") for _ in range(3)])
    former.execute("DELETE FROM noteflow.webhook_events")
    [stored] = intake.store([an_event(workspace_id=workspace_id, meeting_id="m")])
    assert not isinstance(stored, AlreadyExistsError)
    assert stored.sequence == 4
    former.execute("DELETE FROM noteflow.workspaces")
    assert former.execute("SELECT count(*) FROM noteflow.meeting_sequences").fetchone() == (0,)


def test_events_from_before_there_were_numbers_have_none(
    engine: Engine, workspace_id: UUID, former: psycopg.Connection
) -> None:
    """The counter begins with the next one."""
    former.execute("SET session_replication_role = replica")
    former.execute(FORMER_INSERT, (workspace_id, "m", None))
    [stored] = SqlEventIntake(engine).store([an_event(workspace_id=workspace_id, meeting_id="m")])
    assert not isinstance(stored, AlreadyExistsError)
    assert stored.sequence == 1
    assert former.execute("SELECT sequence FROM noteflow.webhook_events ORDER BY sequence").fetchall() == [
        (1,),
        (None,),
    ]
