"""Audio streams: recording.started and recording.stopped are said once each, whatever ends the stream."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import grpc
import pytest

from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.integration.rpc.world import FORMAT, Stream, World, a_stream, eventually, refused
from tests.support.builders import a_recording
from tests.support.waiting import PATIENCE_S
from tests.support.wire_client import WireClient

if TYPE_CHECKING:
    from collections.abc import Sequence

    from noteflow_hooks.domain.meetings import Recording, Segment

INVALID = grpc.StatusCode.INVALID_ARGUMENT
WRONG_MOMENT = grpc.StatusCode.FAILED_PRECONDITION
BOTH = ["recording.started", "recording.stopped"]
SECOND = bytes(1000)


def _open_recording(world: World, meeting_id: str) -> Recording | None:
    with world.units() as unit:
        return unit.meetings.open_recording(UUID(meeting_id))


def _segments(world: World, meeting_id: str) -> Sequence[Segment]:
    with world.units() as unit:
        return unit.meetings.get_segments(UUID(meeting_id))


def _begin(world: World, stream: Stream, audio: bytes = SECOND) -> None:
    before = len(world.events())
    stream.send(audio)
    eventually(lambda: len(world.events()) > before)


def test_a_stream_is_recorded_from_its_first_audio_to_its_end(world: World) -> None:
    """Time is counted from the audio's size and format, over all messages."""
    meeting = world.a_meeting()
    with a_stream(world, meeting.id) as stream:
        stream.send(b"", "Before the audio.")
        stream.send(SECOND)
        stream.send(bytes(500), "One.", "Two.")
        answer = stream.finish()
    assert str(UUID(answer.recording_id)) == answer.recording_id
    assert (answer.duration_seconds, answer.segment_count) == (1.5, 3)
    assert world.event_types() == BOTH
    assert world.payload("recording.stopped")["duration_seconds"] == 1.5
    assert world.payload("recording.started")["title"] == "Weekly"
    assert [segment.text for segment in _segments(world, meeting.id)] == ["Before the audio.", "One.", "Two."]
    found = world.client.meetings.GetMeeting(pb.GetMeetingRequest(meeting_id=meeting.id))
    assert (found.duration_seconds, found.segment_count, found.state) == (1.5, 3, "active")


def test_recording_started_is_committed_while_the_stream_goes_on(world: World) -> None:
    """It doesn't wait for the end."""
    meeting = world.a_meeting()
    with a_stream(world, meeting.id) as stream:
        _begin(world, stream)
        assert world.event_types() == ["recording.started"]
        assert _open_recording(world, meeting.id) is not None


def test_a_client_that_cancels_ends_its_recording(world: World) -> None:
    """Once, with what had arrived."""
    meeting = world.a_meeting()
    with a_stream(world, meeting.id) as stream:
        _begin(world, stream)
        stream.call.cancel()
    eventually(lambda: world.event_types() == BOTH)
    assert world.payload("recording.stopped")["duration_seconds"] == 1.0
    assert _open_recording(world, meeting.id) is None


def test_a_client_whose_connection_breaks_ends_its_recording(world: World) -> None:
    """The channel is closed under the stream."""
    meeting = world.a_meeting()
    client = WireClient(world.address, world.token)
    stream = Stream(client, meeting.id)
    _begin(world, stream)
    client.close()
    stream.send_message(None)
    eventually(lambda: world.event_types() == BOTH)


def test_a_client_that_disappears_while_the_recording_begins_leaves_none_open() -> None:
    """Whether the beginning came through or not, nothing stays open."""
    with World() as world:
        meeting = world.a_meeting()
        for _ in range(20):
            with a_stream(world, meeting.id) as stream:
                stream.send(SECOND)
        eventually(lambda: _open_recording(world, meeting.id) is None)
        world.stop()
        started, stopped = (world.event_types().count(each) for each in BOTH)
        assert started == stopped


def test_a_server_that_stops_ends_its_recordings(world: World) -> None:
    """The client is told to begin anew; the recording is closed before the server is gone."""
    meeting = world.a_meeting()
    with a_stream(world, meeting.id) as stream:
        _begin(world, stream)
        world.stop()
        with refused(grpc.StatusCode.UNAVAILABLE, "the server is stopping"):
            stream.call.result(timeout=PATIENCE_S)
    assert world.event_types() == BOTH
    assert _open_recording(world, meeting.id) is None


def test_stopping_the_meeting_ends_its_stream_first(world: World) -> None:
    """All that had arrived counts, and the stream's caller learns why it ended."""
    meeting = world.a_meeting()
    with a_stream(world, meeting.id) as stream:
        _begin(world, stream)
        stream.send(SECOND, "Bye.")
        eventually(lambda: len(_segments(world, meeting.id)) == 1)
        stopped = world.stop_meeting(meeting.id)
        with refused(WRONG_MOMENT, meeting.id):
            stream.call.result(timeout=PATIENCE_S)
    assert world.event_types() == [*BOTH, "meeting.completed"]
    assert (stopped.duration_seconds, stopped.segment_count) == (2.0, 1)
    assert world.payload("recording.stopped")["duration_seconds"] == 2.0
    assert world.payload("meeting.completed")["duration_seconds"] == 2.0


def test_segments_that_just_arrived_count_when_the_meeting_is_stopped() -> None:
    """They are stored with the stop, before the event says how many there are."""
    with World(store_segments_every=timedelta(hours=1)) as world:
        meeting = world.a_meeting()
        with a_stream(world, meeting.id) as stream:
            stream.send(b"", "One.", "Two.")
            _begin(world, stream)
            assert world.stop_meeting(meeting.id).segment_count == 2
    assert world.payload("meeting.completed")["segment_count"] == 2


def test_a_meeting_stopped_by_another_server_ends_the_stream_here() -> None:
    """The heartbeat notices."""
    with World(heartbeat_every=timedelta(seconds=0.05)) as world, World(store=world.store) as other:
        meeting = world.a_meeting()
        with a_stream(world, meeting.id) as stream:
            _begin(world, stream)
            _stop_through(other, world, meeting.id)
            with refused(WRONG_MOMENT, meeting.id):
                stream.call.result(timeout=PATIENCE_S)
    assert world.event_types() == [*BOTH, "meeting.completed"]


def test_a_stream_that_ends_after_another_server_stopped_the_meeting_is_told(world: World) -> None:
    """Its end records nothing more."""
    with World(store=world.store) as other:
        meeting = world.a_meeting()
        with a_stream(world, meeting.id) as stream:
            _begin(world, stream)
            _stop_through(other, world, meeting.id)
            with refused(WRONG_MOMENT, meeting.id):
                stream.finish()
    assert world.event_types() == [*BOTH, "meeting.completed"]


def test_a_second_stream_is_refused_and_does_not_hurt_the_first(world: World) -> None:
    """One recording at a time; the refused one leaves no segments."""
    meeting = world.a_meeting()
    with a_stream(world, meeting.id) as first, a_stream(world, meeting.id) as second:
        _begin(world, first)
        second.send(SECOND, "Not wanted.")
        with refused(WRONG_MOMENT, "being recorded already"):
            second.call.result(timeout=PATIENCE_S)
        assert first.finish().duration_seconds == 1.0
    assert world.event_types() == BOTH
    assert not _segments(world, meeting.id)


def test_a_new_stream_after_a_broken_one_is_a_new_recording(world: World) -> None:
    """Its events are its own, and the meeting's time is both recordings'."""
    meeting = world.a_meeting()
    with a_stream(world, meeting.id) as stream:
        _begin(world, stream)
    eventually(lambda: _open_recording(world, meeting.id) is None)
    with a_stream(world, meeting.id) as stream:
        stream.send(SECOND)
        stream.finish()
    assert world.event_types() == BOTH * 2
    assert world.stop_meeting(meeting.id).duration_seconds == 2.0


def test_a_message_that_is_wrong_ends_the_stream_and_its_recording(world: World) -> None:
    """What came before it is kept."""
    meeting = world.a_meeting()
    with a_stream(world, meeting.id) as stream:
        _begin(world, stream)
        stream.send(SECOND, "")
        with refused(INVALID, "segments[0].text: must not be empty"):
            stream.call.result(timeout=PATIENCE_S)
    assert world.event_types() == BOTH
    assert world.payload("recording.stopped")["duration_seconds"] == 1.0


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"format": FORMAT}, "meeting_id"),
        ({"meeting_id": str(uuid4())}, "format"),
        ({"meeting_id": str(uuid4()), "format": pb.AudioFormat()}, "sample_rate"),
        ({"meeting_id": "x", "format": FORMAT}, "meeting_id"),
    ],
    ids=["no meeting", "no format", "no sample rate", "no id"],
)
def test_a_first_message_that_says_too_little_is_refused(world: World, fields: dict[str, object], field: str) -> None:
    """The field that is missing or wrong is named."""
    with a_stream(world, "") as stream:
        stream.send_message(pb.StreamAudioSegmentsRequest(audio=SECOND, **fields))  # type: ignore[arg-type]  # any fields
        with refused(INVALID, f"{field}: "):
            stream.call.result(timeout=PATIENCE_S)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"meeting_id": str(uuid4())}, "meeting_id"),
        ({"format": pb.AudioFormat(sample_rate=8000)}, "format"),
    ],
    ids=["another meeting", "another format"],
)
def test_a_stream_can_not_change_what_it_records(world: World, fields: dict[str, object], field: str) -> None:
    """Meeting and format are the first message's."""
    meeting = world.a_meeting()
    with a_stream(world, meeting.id) as stream:
        stream.send(SECOND)
        stream.send_message(pb.StreamAudioSegmentsRequest(**fields))  # type: ignore[arg-type]  # any fields
        with refused(INVALID, f"{field}: must be the same"):
            stream.call.result(timeout=PATIENCE_S)
    assert world.event_types() == BOTH


def test_later_messages_may_leave_out_meeting_and_format(world: World) -> None:
    """They are as the first one said, and one channel of two bytes where it said nothing."""
    meeting = world.a_meeting()
    with a_stream(world, meeting.id) as stream:
        only_rate = pb.AudioFormat(sample_rate=1000)
        stream.send_message(pb.StreamAudioSegmentsRequest(meeting_id=meeting.id, format=only_rate, audio=SECOND))
        stream.send_message(pb.StreamAudioSegmentsRequest(audio=SECOND))
        assert stream.finish().duration_seconds == 1.0


def test_a_stream_without_a_message_is_refused(world: World) -> None:
    """It names no meeting."""
    with a_stream(world, "") as stream, refused(INVALID, "meeting_id: "):
        stream.finish()


def test_a_stream_without_audio_records_nothing_but_its_segments(world: World) -> None:
    """No audio, no recording, no events."""
    meeting = world.a_meeting()
    with a_stream(world, meeting.id) as stream:
        stream.send(b"", "One.")
        assert stream.finish() == pb.StreamAudioSegmentsResponse(segment_count=1)
    assert world.event_types() == []
    assert [segment.text for segment in _segments(world, meeting.id)] == ["One."]


@pytest.mark.parametrize("audio", [b"", SECOND])
def test_a_stream_for_a_meeting_that_is_not_there_is_refused(world: World, audio: bytes) -> None:
    """With audio or without."""
    with a_stream(world, str(uuid4())) as stream:
        stream.send(audio)
        with refused(grpc.StatusCode.NOT_FOUND, "meeting_id"):
            stream.finish()


def test_a_stopped_meeting_can_not_be_recorded(world: World) -> None:
    """The stream is refused, and records nothing."""
    meeting = world.a_meeting()
    world.stop_meeting(meeting.id)
    with a_stream(world, meeting.id) as stream:
        stream.send(SECOND, "Late.")
        with refused(WRONG_MOMENT, "is stopped"):
            stream.finish()
    assert world.event_types() == ["meeting.completed"]


def test_another_workspace_s_meeting_can_not_be_recorded(world: World) -> None:
    """It is not there for a stranger."""
    meeting = world.a_meeting()
    message = pb.StreamAudioSegmentsRequest(meeting_id=meeting.id, audio=SECOND, format=FORMAT)
    with world.stranger() as stranger, refused(grpc.StatusCode.NOT_FOUND):
        stranger.meetings.StreamAudioSegments(iter([message]))
    assert world.event_types() == []


def test_many_segments_are_all_stored_in_their_order(world: World) -> None:
    """Also where they come faster than they are stored."""
    meeting = world.a_meeting()
    with a_stream(world, meeting.id) as stream:
        stream.send(SECOND)
        for number in range(30):
            stream.send(b"", *(f"{number}-{each}" for each in range(50)))
        assert stream.finish().segment_count == 1500
    expected = [f"{number}-{each}" for number in range(30) for each in range(50)]
    assert [segment.text for segment in _segments(world, meeting.id)] == expected


def test_segments_are_stored_while_the_stream_is_silent(world: World) -> None:
    """They wait for about a second at most, not for the next message."""
    meeting = world.a_meeting()
    with a_stream(world, meeting.id) as stream:
        stream.send(SECOND, "One.")
        eventually(lambda: len(_segments(world, meeting.id)) == 1)


def test_an_open_recording_is_kept_alive() -> None:
    """The heartbeat stores its length and the time, so that another server can tell the living from the dead."""
    with World(heartbeat_every=timedelta(seconds=0.05)) as world:
        meeting = world.a_meeting()
        with a_stream(world, meeting.id) as stream:
            _begin(world, stream)

            def stored() -> float:
                recording = _open_recording(world, meeting.id)
                return 0.0 if recording is None else recording.duration_seconds

            eventually(lambda: stored() == 1.0)


def test_a_server_that_starts_ends_what_one_of_its_name_left_open() -> None:
    """With recording.stopped, and the length that was last heard of."""
    with World() as world:
        meeting = world.a_meeting()
        _leave_open(world, meeting, server="server-1", seen_at=datetime.now(UTC))
        _leave_open(world, world.a_meeting(), server="server-2", seen_at=datetime.now(UTC))
        with World(store=world.store, name="server-1"):
            assert world.event_types() == ["recording.stopped"]
            assert world.payload("recording.stopped")["duration_seconds"] == 7.5
            assert _open_recording(world, meeting.id) is None


def test_a_recording_without_a_sign_of_life_is_ended_by_any_server() -> None:
    """But not before every server had the time to give one."""
    with World(heartbeat_every=timedelta(seconds=0.05), silent_for=timedelta(seconds=0.5)) as world:
        silent = datetime.now(UTC) - timedelta(minutes=1)
        _leave_open(world, world.a_meeting(), server="server-1", seen_at=silent)
        eventually(lambda: world.event_types() == ["recording.stopped"])


def _leave_open(world: World, meeting: pb.Meeting, *, server: str, seen_at: datetime) -> None:
    with world.units() as unit:
        unit.meetings.start_recording(
            a_recording(
                meeting_id=UUID(meeting.id),
                workspace_id=world.workspace_id,
                server=server,
                seen_at=seen_at,
                duration_seconds=7.5,
            )
        )
        unit.commit()


def _stop_through(server: World, owner: World, meeting_id: str) -> None:
    """Stop a meeting through another server than the one that records it."""
    client = type(owner.client)(server.address, owner.token)
    client.meetings.StopMeeting(pb.StopMeetingRequest(meeting_id=meeting_id))
    client.close()
