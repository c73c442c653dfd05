"""What an audio stream does in a unit of work. Runs in threads, and only reads what the event loop owns."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from noteflow_hooks.application.meetings import end_recording, start_recording, stop_meeting
from noteflow_hooks.domain.meetings import MeetingState
from noteflow_hooks.errors import NotFoundError, PreconditionError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from noteflow_hooks.application.webhooks import WebhookService
    from noteflow_hooks.domain.meetings import Meeting, Recording, Segment
    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork
    from noteflow_hooks.rpc.streaming.recording import AudioStream


def begin(unit: UnitOfWork, service: WebhookService | None, stream: AudioStream, *, server: str) -> Recording:
    """Begin the stream's recording."""
    return start_recording(unit, service, stream.workspace_id, stream.meeting_id, server=server, now=datetime.now(UTC))


def store(unit: UnitOfWork, stream: AudioStream, segments: Sequence[Segment]) -> None:
    """Store segments; raise PreconditionError where the meeting was stopped meanwhile."""
    meeting = unit.meetings.get(stream.workspace_id, stream.meeting_id, lock=True)
    if meeting is None:
        raise NotFoundError(f"meeting_id: no meeting {stream.meeting_id} in this workspace")
    if meeting.state is not MeetingState.ACTIVE:
        raise ended_elsewhere(stream)
    unit.meetings.add_segments(stream.meeting_id, segments)


def end(unit: UnitOfWork, service: WebhookService | None, stream: AudioStream, segments: Sequence[Segment]) -> None:
    """Store the last segments and end the recording; raise PreconditionError where it had ended before."""
    store(unit, stream, segments)
    if stream.recording is None:
        return
    # Raised, not returned, so that the segments of an attempt whose commit only seemed to fail don't come twice.
    if not end_recording(unit, service, stream.recording, duration_seconds=stream.seconds):
        raise ended_elsewhere(stream)


def stop(
    unit: UnitOfWork,
    service: WebhookService | None,
    stream: AudioStream,
    segments: Sequence[Segment],
    *,
    workspace_id: UUID,
) -> Meeting:
    """Stop the meeting that the stream records, with the segments and the length that only the stream knows."""

    def recorded_s(recording: Recording) -> float:
        ours = stream.recording is not None and recording.id == stream.recording.id
        return stream.seconds if ours else recording.duration_seconds

    meeting = unit.meetings.get(workspace_id, stream.meeting_id, lock=True)
    if meeting is not None and meeting.state is MeetingState.ACTIVE:
        unit.meetings.add_segments(stream.meeting_id, segments)
    return stop_meeting(unit, service, workspace_id, stream.meeting_id, recorded_s=recorded_s)


def touch(unit: UnitOfWork, streams: Sequence[AudioStream]) -> list[AudioStream]:
    """Say that the streams' recordings live; return the streams whose recording has ended all the same."""
    recordings = {stream.recording.id: stream for stream in streams if stream.recording is not None}
    living = unit.meetings.touch_recordings({each: stream.seconds for each, stream in recordings.items()})
    return [stream for each, stream in recordings.items() if each not in living]


def ended_elsewhere(stream: AudioStream) -> PreconditionError:
    """Return what a stream is told whose recording it did not end itself."""
    return PreconditionError(f"meeting {stream.meeting_id} was stopped, or its recording ended, meanwhile")
