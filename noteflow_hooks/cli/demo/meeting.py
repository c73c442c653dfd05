"""The demo's meeting, over gRPC as any client would hold it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from noteflow_hooks.domain.events import PUBLISHABLE
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from noteflow_hooks.client import Client

_RATE: Final = 16_000
_BYTES_PER_SAMPLE: Final = 2
_CHUNKS_A_SECOND: Final = 10
_SILENCE: Final = bytes(_RATE * _BYTES_PER_SAMPLE // _CHUNKS_A_SECOND)
_STREAM_S: Final = 15.0
#: What is said, a second each.
_SAID: Final = (
    ("Ada", "Welcome to the release meeting."),
    ("Grace", "The webhooks are signed, recorded and retried."),
    ("Ada", "Grace will write the release notes by Friday."),
)


def register(client: Client, url: str) -> pb.Webhook:
    """Register an endpoint for the four meeting events, with a secret that the server makes."""
    request = pb.RegisterWebhookRequest(url=url, events=PUBLISHABLE, name="demo", generate_secret=True)
    return client.webhooks.RegisterWebhook(request)


def hold_meeting(client: Client) -> None:
    """Create a meeting, record three seconds of it, have it summarised, and stop it."""
    meeting = client.meetings.CreateMeeting(pb.CreateMeetingRequest(title="Release meeting"))
    client.meetings.StreamAudioSegments(_stream(meeting.id), timeout=_STREAM_S)
    client.meetings.GenerateSummary(pb.GenerateSummaryRequest(meeting_id=meeting.id))
    client.meetings.StopMeeting(pb.StopMeetingRequest(meeting_id=meeting.id))


def _stream(meeting_id: str) -> Iterator[pb.StreamAudioSegmentsRequest]:
    """Yield silence, and each segment with the last chunk of its second."""
    audio_format = pb.AudioFormat(sample_rate=_RATE, bytes_per_sample=_BYTES_PER_SAMPLE)
    for second, (speaker, text) in enumerate(_SAID):
        segment = pb.TranscriptSegment(text=text, speaker=speaker, start_seconds=second, end_seconds=second + 1)
        for chunk in range(_CHUNKS_A_SECOND):
            is_last = chunk == _CHUNKS_A_SECOND - 1
            yield pb.StreamAudioSegmentsRequest(
                meeting_id=meeting_id,
                audio=_SILENCE,
                format=audio_format,
                segments=[segment] if is_last else [],
            )
