"""Several servers on one port: a meeting is stopped on one of them while another one records it."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import grpc
import pytest

from noteflow_hooks.errors import UnavailableError
from noteflow_hooks.persistence.memory import MemoryStore
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.rpc.sharing.member import Group
from noteflow_hooks.rpc.sharing.membership import Memberships
from noteflow_hooks.rpc.streaming import streams
from tests.integration.rpc.world import World, a_stream, eventually, refused
from tests.support.waiting import PATIENCE_S
from tests.support.wire_client import WireClient

if TYPE_CHECKING:
    from collections.abc import Iterator

    from noteflow_hooks.rpc.sharing.siblings import Siblings
    from noteflow_hooks.rpc.streaming.recording import AudioStream

WRONG_MOMENT = grpc.StatusCode.FAILED_PRECONDITION
BOTH = ["recording.started", "recording.stopped"]
SECOND = bytes(1000)
#: Nothing is stored, and no heartbeat comes, while a test runs: what is known is the stream's own server's alone.
NEVER = timedelta(hours=1)


class Pair:
    """Two servers of a group over one store, and a client of the same workspace at each."""

    def __init__(self, stack: ExitStack) -> None:
        memberships = Memberships(2)
        stack.callback(memberships.close)
        self.groups = [Group(memberships.of(number)) for number in (1, 2)]
        store = MemoryStore()
        self.recording, self.other = (
            stack.enter_context(World(store=store, group=each, store_segments_every=NEVER, heartbeat_every=NEVER))
            for each in self.groups
        )
        self.elsewhere = stack.enter_context(WireClient(self.other.address, self.recording.token))

    def streams(self, world: World) -> set[AudioStream]:
        """Return a server's open streams, of which nothing else knows."""
        return set(world._server._streams._streams)  # noqa: SLF001 - as said

    @property
    def siblings(self) -> Siblings:
        """The recording server's way to the other one."""
        found = self.groups[0]._siblings  # noqa: SLF001 - what hears and answers
        assert found is not None
        return found

    def deafen(self) -> None:
        """Have the recording server hear nothing any more, as a frozen process doesn't."""
        loop, mailbox = self.recording._loop, self.siblings._mailbox  # noqa: SLF001 - no caller can do that
        loop.call_soon_threadsafe(loop.remove_reader, mailbox.fileno())

    def stop(self, meeting_id: str) -> pb.Meeting:
        """Stop a meeting on the server that doesn't record it."""
        return self.elsewhere.meetings.StopMeeting(pb.StopMeetingRequest(meeting_id=meeting_id))


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Offer two servers of one group."""
    with ExitStack() as stack:
        yield Pair(stack)


def test_a_meeting_stopped_on_another_server_has_all_that_had_arrived(pair: Pair) -> None:
    """The seconds and the segments that only the stream's server knew; and its caller learns at once why it ended."""
    world = pair.recording
    meeting = world.a_meeting()
    with a_stream(world, meeting.id) as stream:
        stream.send(SECOND, "One.")
        eventually(lambda: world.event_types() == ["recording.started"])
        stream.send(SECOND, "Two.")
        eventually(lambda: any(each.seconds == 2 for each in pair.streams(world)))
        stopped = pair.stop(meeting.id)
        with refused(WRONG_MOMENT, meeting.id):
            stream.call.result(timeout=PATIENCE_S)
    assert (stopped.state, stopped.duration_seconds, stopped.segment_count) == ("completed", 2.0, 2)
    assert world.event_types() == [*BOTH, "meeting.completed"]
    assert world.payload("recording.stopped")["duration_seconds"] == 2.0
    assert world.payload("meeting.completed")["duration_seconds"] == 2.0


def test_a_meeting_that_nobody_records_is_stopped_without_asking(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    """As one whose stream has ended is, whichever server it was on."""
    world = pair.recording
    quiet, over = world.a_meeting(), world.a_meeting()
    with a_stream(world, over.id) as stream:
        stream.send(SECOND)
        stream.finish()
    pair.deafen()
    assert {pair.stop(each.id).state for each in (quiet, over)} == {"completed"}
    assert "does not answer" not in caplog.text


def test_a_server_that_does_not_hear_is_not_waited_for(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    """The meeting is stopped with what is stored, and the log says so."""
    world = pair.recording
    meeting = world.a_meeting()
    with a_stream(world, meeting.id) as stream:
        stream.send(SECOND)
        eventually(lambda: world.event_types() == ["recording.started"])
        pair.deafen()
        stopped = pair.stop(meeting.id)
    assert (stopped.state, stopped.duration_seconds) == ("completed", 0)
    assert "does not answer" in caplog.text


def test_a_database_that_is_away_from_the_stream_s_server_is_said_by_both(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """UNAVAILABLE: nothing is stopped behind the back of who knows most of it."""
    world = pair.recording
    meeting = world.a_meeting()

    async def away(_workspace: UUID, _meeting: UUID) -> None:
        raise UnavailableError("away")

    with a_stream(world, meeting.id) as stream:
        stream.send(SECOND)
        eventually(lambda: world.event_types() == ["recording.started"])
        monkeypatch.setattr(pair.siblings, "_stop_here", away)
        with refused(grpc.StatusCode.UNAVAILABLE, "can't reach the database"):
            pair.stop(meeting.id)
        assert world.event_types() == ["recording.started"]


def test_a_stream_that_begins_anew_elsewhere_waits_for_its_earlier_end(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A caller whose connection broke gets the other server, while the first one is just ending its recording."""
    monkeypatch.setattr(streams, "_EARLIER_S", PATIENCE_S)
    world = pair.recording
    meeting = world.a_meeting()
    with a_stream(world, meeting.id) as stream, a_stream(world, meeting.id, client=pair.elsewhere) as again:
        stream.send(SECOND)
        eventually(lambda: world.event_types() == ["recording.started"])
        (ending,) = pair.streams(world)
        world.in_loop(ending.storing.acquire())
        stream.send_message(None)
        eventually(lambda: ending.closing is not None)
        again.send(SECOND)
        eventually(lambda: any(each.opening is not None for each in pair.streams(pair.other)))
        assert world.event_types() == ["recording.started"]
        world._loop.call_soon_threadsafe(ending.storing.release)  # noqa: SLF001 - asyncio's locks are their loop's
        again.finish()
    assert world.event_types() == BOTH * 2


def test_each_server_records_under_a_name_of_its_own(pair: Pair) -> None:
    """It ends with the server's number, so whoever takes a dead one's place ends that one's recordings alone."""
    world = pair.recording
    meeting = world.a_meeting()
    with a_stream(world, meeting.id, client=pair.elsewhere) as stream:
        stream.send(SECOND)
        eventually(lambda: world.event_types() == ["recording.started"])
        with world.units() as unit:
            recording = unit.meetings.open_recording(UUID(meeting.id))
        assert recording is not None
        assert recording.server.endswith(f"{pair.other.address} 2")
