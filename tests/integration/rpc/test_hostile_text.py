"""Text, bytes and segments that no store could keep are refused as the caller's fault; other text is kept as it is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest

from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.integration.rpc.world import FORMAT, refused
from tests.support.builders import a_payload
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from tests.integration.rpc.world import World

INVALID: Final = grpc.StatusCode.INVALID_ARGUMENT
#: A lone surrogate as UTF-8 would have it, an overlong NUL, a byte that never occurs; each of three bytes.
NOT_UTF8: Final = (b"\xed\xa0\x80", b"\xc0\x80x", b"\xffxx")
DEEP: Final = 100_000
#: What one field of a valid message is exchanged for; of three bytes too.
MARK: Final = "\u2603"


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("bad", NOT_UTF8, ids=str)
def test_text_that_is_not_utf8_is_refused_and_not_a_fault_of_the_servers(stored_world: World, bad: bytes) -> None:
    """D6: protobuf itself can't read it; each method that has a text says INVALID_ARGUMENT."""
    calls = {
        "WebhookService/RegisterWebhook": pb.RegisterWebhookRequest(url=MARK),
        "EventService/PublishEvent": pb.PublishEventRequest(payload_json=MARK),
        "MeetingService/CreateMeeting": pb.CreateMeetingRequest(title=MARK),
        "MeetingService/GenerateSummary": pb.GenerateSummaryRequest(summary=pb.Summary(key_points=[MARK])),
    }
    for path, message in calls.items():
        data = message.SerializeToString().replace(MARK.encode(), bad)
        with refused(INVALID, "request: can't be read"):
            _raw(stored_world, path, data)


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("depth", [101, 5_000, DEEP])
def test_groups_within_groups_are_refused(stored_world: World, depth: int) -> None:
    """D8: as unknown fields, which protobuf reads to their end; in a summary, which it knows, as well."""
    for path in ("MeetingService/GenerateSummary", "WebhookService/ListWebhooks"):
        with refused(INVALID, "request: can't be read"):
            _raw(stored_world, path, b"\x0b" * depth + b"\x0c" * depth)


def _raw(world: World, path: str, data: bytes) -> bytes:
    with grpc.insecure_channel(world.address) as channel:
        call: Any = channel.unary_unary(f"/noteflow.v1.{path}")
        answer: bytes = call(data, metadata=[("authorization", f"Bearer {world.token}")], timeout=PATIENCE_S)
        return answer


@pytest.mark.parametrize(
    ("segment", "field"),
    [
        ({"text": ""}, "segments[0].text: "),
        ({"text": "\x00"}, "segments[0].text: "),
        ({"text": "x" * 10_001}, "segments[0].text: has 10001 characters"),
        ({"text": "x", "speaker": "\x00"}, "segments[0].speaker: "),
        ({"text": "x", "speaker": "x" * 256}, "segments[0].speaker: "),
        ({"text": "x", "end_seconds": float("nan")}, "segments[0].end_seconds: "),
        ({"text": "x", "start_seconds": -1.0}, "segments[0].end_seconds: "),
        ({"text": "x", "start_seconds": 2.0, "end_seconds": 1.0}, "segments[0].end_seconds: "),
        ({"text": "x", "end_seconds": float("inf")}, "segments[0].end_seconds: "),
    ],
)
def test_a_segment_that_cannot_be_kept_ends_the_stream_by_its_field(
    stored_world: World, segment: dict[str, Any], field: str
) -> None:
    """And the recording with it; what came before is kept."""
    meeting = stored_world.a_meeting()
    good = pb.TranscriptSegment(text="Good morning.", end_seconds=1)
    first = pb.StreamAudioSegmentsRequest(meeting_id=meeting.id, audio=bytes(1000), format=FORMAT, segments=[good])
    bad = pb.StreamAudioSegmentsRequest(segments=[pb.TranscriptSegment(**segment)])
    with refused(INVALID, field):
        stored_world.client.meetings.StreamAudioSegments(iter([first, bad]))
    stored = stored_world.client.meetings.GetMeeting(pb.GetMeetingRequest(meeting_id=meeting.id))
    assert (stored.segment_count, stored.duration_seconds) == (1, 1.0)


def test_a_message_of_very_many_segments_is_refused_and_a_full_one_stored(stored_world: World) -> None:
    """More of them would be one transaction, for which nobody's call should have to wait."""
    meeting = stored_world.a_meeting()
    segment = pb.TranscriptSegment(text="x", end_seconds=1)
    full = pb.StreamAudioSegmentsRequest(meeting_id=meeting.id, format=FORMAT, segments=[segment] * 5_000)
    assert stored_world.client.meetings.StreamAudioSegments(iter([full])).segment_count == 5_000
    full.segments.add().CopyFrom(segment)
    with refused(INVALID, "segments: has 5001 entries; at most 5000"):
        stored_world.client.meetings.StreamAudioSegments(iter([full]))


NASTY_BUT_TEXT: Final = [
    "\x1b[2J\x07",
    "a\r\nb",
    "\x85\u2028\u2029",
    "\u202eabc",
    "\ufeff\uffff\U0010ffff",
    "<script>",
    "';--",
]


@pytest.mark.parametrize("text", NASTY_BUT_TEXT, ids=ascii)
def test_text_that_steers_a_terminal_is_kept_as_it_is(stored_world: World, text: str) -> None:
    """It is somebody's title, name or words: what comes back, and what is sent, is what was given."""
    meeting = stored_world.a_meeting(title=text)
    assert stored_world.client.meetings.GetMeeting(pb.GetMeetingRequest(meeting_id=meeting.id)).title == text
    summary = pb.Summary(executive_summary=f"x{text}", key_points=[f"x{text}"], action_items=[f"x{text}"])
    request = pb.GenerateSummaryRequest(meeting_id=meeting.id, summary=summary)
    assert stored_world.client.meetings.GenerateSummary(request) == summary
    assert stored_world.a_webhook(name=f"x{text}").name == f"x{text}"
    payload = json.dumps(a_payload(title=text, meeting_id=f"x{text}"))
    published = pb.PublishEventRequest(event_type="meeting.completed", payload_json=payload)
    event = stored_world.client.events.PublishEvent(published)
    assert json.loads(event.payload)["title"] == text
    assert event.meeting_id == f"x{text}"
