"""Meetings that are held to have their events, over gRPC as any client would hold them."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.domain.publishing import required_fields
from noteflow_hooks.errors import InvalidInputError
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from noteflow_hooks.client import Client

#: A byte is an eighth of a millisecond of silence.
_RATE: Final = 8_000
_CHUNK: Final = 200_000
_STREAM_S: Final = 60.0
#: How long a meeting may be: what is streamed of it, is stored nowhere, but takes its time.
LONGEST_S: Final = 3_600.0
_MOST: Final = 1_000
_BASE: Final = ("meeting_id",)
#: What is said of a meeting where nobody says otherwise.
_USUAL: Final[Mapping[str, Any]] = {
    "title": "A triggered meeting",
    "duration_seconds": 3.0,
    "segment_count": 3,
    "executive_summary": "The release is planned for March.",
    "key_points_count": 2,
    "action_items_count": 1,
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be true of a meeting."""

    title: str
    duration_s: float
    segments: int
    #: None where it is not summarised.
    summary: pb.Summary | None


def settable(event_type: str) -> list[str]:
    """Return the fields of a meeting's type that can be set."""
    return [name for name in required_fields(event_type) if name not in _BASE]


def plan(event_type: str, given: Mapping[str, str]) -> Plan:
    """Return the meeting whose event of that type says what is given; raise InvalidInputError for what none can say."""
    values = {**_USUAL, **{name: _read(event_type, name, text) for name, text in given.items()}}
    if not 0 < values["duration_seconds"] <= LONGEST_S:
        raise InvalidInputError("duration_seconds", f"must be above 0 and at most {LONGEST_S:g}")
    for name in ("segment_count", "key_points_count", "action_items_count"):
        if not 0 <= values[name] <= _MOST:
            raise InvalidInputError(name, f"must be 0 to {_MOST}")
    is_summed_up = values.get("has_summary", event_type == "summary.generated")
    return Plan(
        values["title"], values["duration_seconds"], values["segment_count"], _summary(values) if is_summed_up else None
    )


def hold(server: Client, what: Plan) -> str:
    """Hold the meeting: record it, sum it up where it has a summary, and stop it; return its id."""
    meeting = server.meetings.CreateMeeting(pb.CreateMeetingRequest(title=what.title))
    server.meetings.StreamAudioSegments(_stream(meeting.id, what), timeout=_STREAM_S)
    if what.summary is not None:
        server.meetings.GenerateSummary(pb.GenerateSummaryRequest(meeting_id=meeting.id, summary=what.summary))
    server.meetings.StopMeeting(pb.StopMeetingRequest(meeting_id=meeting.id))
    meeting_id: str = meeting.id
    return meeting_id


def payload_of(example: str, event_type: str, given: Mapping[str, str], *, is_meeting: bool) -> str:
    """Return the catalogue's example of a payload with what is given in its place, as an event of now."""
    payload: dict[str, Any] = json.loads(example) if example else {}
    payload.pop("timestamp", None)
    if is_meeting:
        payload["meeting_id"] = f"triggered-{uuid.uuid4()}"
        payload |= {name: _read(event_type, name, text) for name, text in given.items()}
    else:
        payload |= {name: _json_or_text(text) for name, text in given.items()}
    return json.dumps(payload)


def _read(event_type: str, name: str, text: str) -> Any:  # noqa: ANN401 - each field has its own type
    """Return what a field is set to, as its kind has it."""
    kinds = required_fields(event_type)
    if name not in settable(event_type):
        raise InvalidInputError(name, f"is no field of {event_type} that can be set: {', '.join(settable(event_type))}")
    if kinds[name] == "bool":
        if text not in ("true", "false"):
            raise InvalidInputError(name, "must be true or false")
        return text == "true"
    try:
        return {"int": int, "float": float}.get(kinds[name], str)(text)
    except ValueError:
        raise InvalidInputError(name, "must be a number") from None


def _json_or_text(text: str) -> Any:  # noqa: ANN401 - whatever JSON has
    try:
        return json.loads(text)
    except ValueError:
        return text


def _summary(values: Mapping[str, Any]) -> pb.Summary:
    return pb.Summary(
        executive_summary=values["executive_summary"],
        key_points=[f"Point {number}" for number in range(1, values["key_points_count"] + 1)],
        action_items=[f"Item {number}" for number in range(1, values["action_items_count"] + 1)],
    )


def _stream(meeting_id: str, what: Plan) -> Iterator[pb.StreamAudioSegmentsRequest]:
    """Yield silence, and the segments with its first piece."""
    audio_format = pb.AudioFormat(sample_rate=_RATE, bytes_per_sample=1)
    left, share = max(1, round(what.duration_s * _RATE)), what.duration_s / max(1, what.segments)
    segments = [
        pb.TranscriptSegment(text=f"Sentence {n + 1}.", start_seconds=n * share, end_seconds=(n + 1) * share)
        for n in range(what.segments)
    ]
    while left > 0:
        size = min(left, _CHUNK)
        yield pb.StreamAudioSegmentsRequest(
            meeting_id=meeting_id, audio=bytes(size), format=audio_format, segments=segments
        )
        segments, left = [], left - size
