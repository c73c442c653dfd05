"""A database that hangs or is away: callers hear so in time, and what was under way is ended once it is back."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

import grpc
import pytest

from noteflow_hooks.errors import UnavailableError
from noteflow_hooks.persistence.memory import InMemoryUnitOfWork, MemoryStore
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.rpc.runtime.database import DEADLINE
from noteflow_hooks.rpc.streaming import storage
from tests.integration.rpc.world import World, a_stream, eventually, refused
from tests.support.builders import a_recording
from tests.support.stopwatch import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork

AWAY = grpc.StatusCode.UNAVAILABLE


class Gate:
    """A door in front of the store.

    While it is shut every unit of work hangs in it, as in a frozen PostgreSQL; while it is locked they fail.
    """

    def __init__(self) -> None:
        self.door = threading.Event()
        self.door.set()
        self.locked = False
        self.entered = 0

    def units(self, store: MemoryStore) -> Callable[[], UnitOfWork]:
        """Return the units of work behind this door."""
        gate = self

        class Gated(InMemoryUnitOfWork):
            def __enter__(self) -> Self:
                gate.entered += 1
                gate.door.wait()
                if gate.locked:
                    raise UnavailableError
                super().__enter__()
                return self

        return lambda: Gated(store)


@pytest.fixture
def gate() -> Iterator[Gate]:
    """Offer a door that is open, and open again at the end."""
    made = Gate()
    yield made
    made.door.set()


def test_a_frozen_database_is_unavailable_within_two_seconds_and_then_at_once(gate: Gate) -> None:
    """And all is well again when it thaws."""
    with World(units=gate.units, database_deadline=DEADLINE) as world:
        world.a_meeting()
        gate.door.clear()
        calls = [world.client.meetings.CreateMeeting.future(pb.CreateMeetingRequest(title="lost")) for _ in range(20)]
        with Stopwatch() as watch:
            for call in calls:
                with refused(AWAY, "the database does not answer"):
                    call.result()
        assert watch.seconds < 2.0
        with Stopwatch() as watch, refused(AWAY):
            world.a_meeting()
        assert watch.seconds < 0.5
        gate.door.set()
        eventually(lambda: _works(world))
        titles = [each.title for each in world.client.meetings.ListMeetings(pb.ListMeetingsRequest()).meetings]
        assert "lost" not in titles


def test_work_whose_caller_gave_up_is_never_begun(gate: Gate) -> None:
    """Twenty calls on four threads: the sixteen that waited are dropped."""
    with World(units=gate.units, database_deadline=DEADLINE) as world:
        world.a_meeting()
        gate.door.clear()
        entered = gate.entered
        calls = [world.client.meetings.CreateMeeting.future(pb.CreateMeetingRequest()) for _ in range(20)]
        for call in calls:
            with refused(AWAY):
                call.result()
        gate.door.set()
        eventually(lambda: _works(world))
        assert gate.entered < entered + 20


@pytest.mark.usefixtures("known_tokens")
def test_a_recording_whose_client_left_while_the_store_hung_is_ended(gate: Gate) -> None:
    """Its beginning is the server's task, so its end is known to be needed."""
    with World(units=gate.units) as world:
        meeting = world.a_meeting()
        gate.door.clear()
        entered = gate.entered
        with a_stream(world, meeting.id) as stream:
            stream.send(bytes(1000))
            eventually(lambda: gate.entered > entered)
        gate.door.set()
        eventually(lambda: world.event_types() == ["recording.started", "recording.stopped"])
        assert world.payload("recording.stopped")["duration_seconds"] == 1.0


def test_a_recording_that_ends_while_the_database_is_away_is_ended_when_it_is_back(gate: Gate) -> None:
    """The caller hears UNAVAILABLE in time; the server goes on trying."""
    with World(units=gate.units, database_deadline=DEADLINE) as world:
        meeting = world.a_meeting()
        with a_stream(world, meeting.id) as stream:
            stream.send(bytes(1000))
            eventually(lambda: world.event_types() == ["recording.started"])
            gate.door.clear()
            with Stopwatch() as watch, refused(AWAY, "could not be stored yet"):
                stream.finish()
            assert watch.seconds < 2.0
        gate.door.set()
        eventually(lambda: world.event_types() == ["recording.started", "recording.stopped"])


def test_a_token_that_can_not_be_looked_up_is_not_called_bad(gate: Gate) -> None:
    """UNAVAILABLE: the caller may be right."""
    with World(units=gate.units) as world:
        gate.locked = True
        with refused(AWAY):
            world.a_meeting()


def test_segments_wait_for_a_database_that_is_away(gate: Gate) -> None:
    """The stream goes on, and they are stored when it is back."""
    with World(units=gate.units) as world:
        meeting = world.a_meeting()
        with a_stream(world, meeting.id) as stream:
            stream.send(bytes(1000))
            eventually(lambda: world.event_types() == ["recording.started"])
            entered, gate.locked = gate.entered, True
            stream.send(bytes(1000), "One.")
            eventually(lambda: gate.entered > entered + 2)
            gate.locked = False
            assert stream.finish().segment_count == 1


def test_a_server_that_starts_without_its_database_ends_abandoned_recordings_once_it_is_back(gate: Gate) -> None:
    """What a dead server left open is then ended after all."""
    with World() as dead:
        meeting = dead.a_meeting()
    with dead.units() as unit:
        silent = datetime.now(UTC) - timedelta(minutes=1)
        ids = {"meeting_id": UUID(meeting.id), "workspace_id": dead.workspace_id}
        unit.meetings.start_recording(a_recording(seen_at=silent, **ids))
        unit.commit()
    gate.locked = True
    often: dict[str, Any] = {"heartbeat_every": timedelta(seconds=0.05), "silent_for": timedelta(seconds=0.2)}
    with World(store=dead.store, units=gate.units, **often):
        entered = gate.entered
        eventually(lambda: gate.entered > entered)
        assert dead.event_types() == []
        gate.locked = False
        eventually(lambda: dead.event_types() == ["recording.stopped"])


def test_a_test_s_wait_ends_when_the_database_goes_away(gate: Gate) -> None:
    """The test is recorded, so the answer says so: to fail would invite a second one."""
    with World(units=gate.units) as world:
        webhook = world.a_webhook()
        request = pb.TestWebhookRequest(webhook_id=webhook.id, wait_seconds=60)
        call = world.client.webhooks.TestWebhook.future(request, timeout=100)
        eventually(lambda: bool(world.announced))
        gate.locked = True
        assert call.result(timeout=45).event_id == str(world.announced[0])


def test_a_recording_that_can_not_be_ended_is_an_error_of_our_own(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Logged, and left to a heartbeat."""
    monkeypatch.setattr(storage, "finish_stream", lambda *_, **__: 1 // 0)
    meeting = world.a_meeting()
    with a_stream(world, meeting.id) as stream, refused(grpc.StatusCode.INTERNAL):
        stream.send(bytes(1000))
        stream.finish()
    assert "could not be ended" in caplog.text


def test_a_server_stops_in_time_though_the_database_hangs(gate: Gate) -> None:
    """What it could not store is ended by the next server."""
    with World(units=gate.units, database_deadline=DEADLINE) as world:
        meeting = world.a_meeting()
        with a_stream(world, meeting.id) as stream:
            stream.send(bytes(1000))
            eventually(lambda: world.event_types() == ["recording.started"])
            gate.door.clear()
            with Stopwatch() as watch:
                world.stop(grace_s=2)
            assert watch.seconds < 6


def _works(world: World) -> bool:
    try:
        world.a_meeting()
    except grpc.RpcError:
        return False
    return True
