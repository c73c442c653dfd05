"""PublishEvent over the real PostgreSQL: one statement for all who call meanwhile, and nothing stored twice or lost."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc
import psycopg
import pytest

from noteflow_hooks.domain.events import Event
from noteflow_hooks.errors import UnavailableError
from noteflow_hooks.persistence.sql.engine import create_engine
from noteflow_hooks.persistence.sql.intake import SqlEventIntake
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.integration.rpc.sqlworld import world_over
from tests.integration.rpc.world import refused
from tests.support.builders import an_event
from tests.support.cutting_proxy import CuttingProxy
from tests.support.pooling_proxy import PoolingProxy
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.integration.rpc.world import World

#: How the numbers of these tests' events begin. The answer that has one comes once the event is committed.
STORED = b"98765432"
CALLERS = 16


@pytest.fixture(params=["none", "transaction"])
def url(request: pytest.FixtureRequest, clean_database: str) -> Iterator[tuple[str, bool]]:
    """Offer the database straight, and behind a pooler."""
    if request.param == "none":
        yield clean_database, False
        return
    with PoolingProxy(clean_database) as proxy:
        yield proxy.url.replace("postgresql://", "postgresql+psycopg://"), True


@pytest.fixture
def world(url: tuple[str, bool]) -> Iterator[World]:
    """Offer a server over it."""
    with world_over(url[0], is_pooled=url[1]) as running:
        yield running


def request(number: int, *, key: str | None = None) -> pb.PublishEventRequest:
    """Return a request of its own."""
    payload = {"meeting_id": f"m-{number}", "title": f"No. {number}"}
    return pb.PublishEventRequest(event_type="recording.started", payload_json=json.dumps(payload), idempotency_key=key)


@contextmanager
def locked(database_url: str, statement: str, *params: Any) -> Iterator[None]:  # noqa: ANN401 - psycopg's
    """Hold what the statement locks."""
    with psycopg.connect(database_url.replace("+psycopg", "")) as connection:
        connection.execute(statement, params)
        yield
        connection.rollback()


def number_on(database_url: str, world: World) -> None:
    """Have the next events of these meetings numbered by what the proxy looks for."""
    with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as connection:
        for number in range(3):
            connection.execute(
                "INSERT INTO noteflow.meeting_sequences (workspace_id, meeting_id, last) VALUES (%s, %s, %s)"
                " ON CONFLICT (workspace_id, meeting_id) DO UPDATE SET last = excluded.last",
                [world.workspace_id, f"m-{number}", int(STORED + b"0")],
            )


def test_callers_at_once_share_statements_and_get_their_own_events(world: World, clean_database: str) -> None:
    """Each once, stored before it is answered, and all of them announced."""
    stored: list[int] = []
    inner = world.service._store_events  # noqa: SLF001 - to count the groups

    def counted(events: Sequence[Event]) -> Sequence[Any]:
        stored.append(len(events))
        return inner(events)

    world.service._store_events = counted  # noqa: SLF001 - as above
    # While the table is locked, all but the first gather.
    with ThreadPoolExecutor(CALLERS) as threads, locked(clean_database, "LOCK TABLE noteflow.webhook_events"):
        calls = [threads.submit(world.client.events.PublishEvent, request(number)) for number in range(CALLERS)]
        until(lambda: sum(stored) > 0, what="the first group is under way")
    events = [each.result() for each in calls]
    assert [json.loads(each.payload)["title"] for each in events] == [f"No. {number}" for number in range(CALLERS)]
    assert {str(each.id) for each in world.events()} == {each.id for each in events}
    assert {str(each) for each in world.announced} == {each.id for each in events}
    assert sum(stored) == CALLERS
    assert len(stored) < CALLERS


def test_a_bad_event_fails_none_of_its_neighbours(world: World, clean_database: str) -> None:
    """Neither one whose key stands for another event, nor one that the database refuses."""
    world.client.events.PublishEvent(request(0, key="k"))
    with psycopg.connect(clean_database.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(
            "ALTER TABLE noteflow.webhook_events ADD CONSTRAINT no_seven CHECK (meeting_id <> 'm-7') NOT VALID"
        )
        try:
            with ThreadPoolExecutor(CALLERS) as threads, locked(clean_database, "LOCK TABLE noteflow.webhook_events"):
                keys = {3: "k"}
                calls = [
                    threads.submit(world.client.events.PublishEvent, request(each, key=keys.get(each)))
                    for each in range(CALLERS)
                ]
            codes = [_code(each.exception()) for each in calls]
        finally:
            connection.execute("ALTER TABLE noteflow.webhook_events DROP CONSTRAINT no_seven")
    bad = {3: grpc.StatusCode.ALREADY_EXISTS, 7: grpc.StatusCode.INTERNAL}
    assert codes == [bad.get(number) for number in range(CALLERS)]
    assert len(world.events()) == 1 + CALLERS - len(bad)


def test_a_locked_workspace_holds_back_no_other(clean_database: str) -> None:
    """As while an operator deletes it: its own events wait, and those of the others don't for long."""
    with world_over(clean_database) as world, world.stranger() as other:
        workspace_id = world.workspace_id
        lock = "SELECT 1 FROM noteflow.workspaces WHERE id = %s FOR UPDATE"
        with ThreadPoolExecutor(1) as threads:
            with locked(clean_database, lock, workspace_id):
                waiting = threads.submit(world.client.events.PublishEvent, request(1))
                for number in range(5):
                    assert other.events.PublishEvent(request(number)).id
                assert not waiting.done()
            assert waiting.result().id


@pytest.mark.parametrize("key", [None, "k"])
def test_an_answer_that_is_lost_after_the_commit_costs_nothing(clean_database: str, key: str | None) -> None:
    """The connection breaks between commit and answer: the caller gets its event, stored and announced once."""
    with CuttingProxy(clean_database) as proxy, world_over(proxy.url) as world:
        world.client.events.PublishEvent(request(0))
        number_on(clean_database, world)
        proxy.cut_at(STORED)
        event = world.client.events.PublishEvent(request(1, key=key))
        assert proxy.cut == 1
        assert [str(each.id) for each in world.events()][1:] == [event.id]
        assert [str(each) for each in world.announced][1:] == [event.id]


def test_a_group_whose_answer_is_lost_is_there_once(clean_database: str) -> None:
    """As is a single event; and its members are in the order in which they came."""
    with CuttingProxy(clean_database) as proxy:
        engine = create_engine(proxy.url, connections=1)
        with world_over(clean_database) as world:
            given = [an_event(workspace_id=world.workspace_id, meeting_id=f"m-{number}") for number in range(3)]
            number_on(clean_database, world)
            proxy.cut_at(STORED)
            stored = SqlEventIntake(engine).store(given)
            assert proxy.cut == 1
            assert list(stored) == sorted(world.events(), key=lambda each: str(each.created_at))
            assert [each.id for each in stored if isinstance(each, Event)] == [each.id for each in given]
        engine.dispose()


def test_what_can_t_be_repeated_either_is_unavailable(clean_database: str) -> None:
    """The caller's own repetition, under its key, finds the event."""
    with CuttingProxy(clean_database) as proxy, world_over(proxy.url) as world:
        world.client.events.PublishEvent(request(0))
        number_on(clean_database, world)
        # The first answer, and both in which the event is looked for.
        proxy.cut_at(STORED, times=3)
        with refused(grpc.StatusCode.UNAVAILABLE, "the database does not answer"):
            world.client.events.PublishEvent(request(1, key="k"))
        event = world.client.events.PublishEvent(request(1, key="k"))
        assert [str(each.id) for each in world.events()][1:] == [event.id]


def test_a_connection_that_died_at_rest_is_replaced_without_a_word(clean_database: str) -> None:
    """Nobody asks it first whether it lives: the statement is repeated over a new one."""
    engine = create_engine(clean_database, connections=1)
    intake = SqlEventIntake(engine)
    with world_over(clean_database) as world:
        first, second = (an_event(workspace_id=world.workspace_id) for _ in range(2))
        intake.store([first])
        with psycopg.connect(clean_database.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE query ILIKE %s AND pid <> pg_backend_pid()",
                ["%insert into noteflow.webhook_events%"],
            )
        intake.store([second])
        assert {each.id for each in world.events()} == {first.id, second.id}
    engine.dispose()


def test_a_statement_that_the_database_refuses_is_not_repeated(clean_database: str) -> None:
    """It would be refused again: a deadlock's victim and a timeout are the caller's to repeat."""
    engine = create_engine(f"{clean_database}&options=-c%20statement_timeout%3D100", connections=1)
    with world_over(clean_database) as world:
        event = an_event(workspace_id=world.workspace_id)
        with locked(clean_database, "LOCK TABLE noteflow.webhook_events"), pytest.raises(UnavailableError):
            SqlEventIntake(engine).store([event])
        assert world.events() == []
    engine.dispose()


def _code(error: BaseException | None) -> grpc.StatusCode | None:
    return error.code() if isinstance(error, grpc.RpcError) else None
