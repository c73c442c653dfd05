"""The life of a meeting's recordings: begun by a stream, ended by it, by the meeting's end, or for a dead server.

Each function works in the caller's unit of work and records the events there; ``service`` None records none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from noteflow_hooks.domain.meetings import Meeting, MeetingState, Recording
from noteflow_hooks.errors import NotFoundError, PreconditionError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime, timedelta

    from noteflow_hooks.application.webhooks import WebhookService
    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork


def start_recording(
    unit: UnitOfWork,
    service: WebhookService | None,
    workspace_id: UUID,
    meeting_id: UUID,
    *,
    server: str,
    now: datetime,
) -> Recording:
    """Begin a recording; raise NotFoundError or PreconditionError where there is no meeting that can be recorded."""
    meeting = _locked(unit, workspace_id, meeting_id)
    if meeting.state is not MeetingState.ACTIVE:
        raise PreconditionError(f"meeting {meeting_id} is stopped; it can't be recorded any more")
    recording = Recording(
        id=uuid4(),
        meeting_id=meeting_id,
        workspace_id=workspace_id,
        server=server,
        started_at=now,
        seen_at=now,
    )
    if not unit.meetings.start_recording(recording):
        raise PreconditionError(f"meeting {meeting_id} is being recorded already; one stream at a time is allowed")
    if service is not None:
        service.trigger_recording_started(meeting_id, meeting.title, workspace_id=workspace_id, unit=unit)
    return recording


def end_recording(
    unit: UnitOfWork, service: WebhookService | None, recording: Recording, *, duration_seconds: float
) -> bool:
    """End a recording, once: False where it had ended already, and then nothing is recorded."""
    meeting = _locked(unit, recording.workspace_id, recording.meeting_id)
    if not unit.meetings.end_recording(recording.id, duration_seconds):
        return False
    if service is not None:
        service.trigger_recording_stopped(
            meeting.id, meeting.title, duration_seconds, workspace_id=meeting.workspace_id, unit=unit
        )
    return True


def stop_meeting(
    unit: UnitOfWork,
    service: WebhookService | None,
    workspace_id: UUID,
    meeting_id: UUID,
    *,
    recorded_s: Callable[[Recording], float] = lambda recording: recording.duration_seconds,
) -> Meeting:
    """Stop a meeting, ending its recording first, and return it; one that was stopped before comes back as it is.

    ``recorded_s`` tells how many seconds an open recording has, for a server that knows better than the store.
    """
    meeting = _locked(unit, workspace_id, meeting_id)
    if meeting.state is MeetingState.COMPLETED:
        return meeting
    recording = unit.meetings.open_recording(meeting_id)
    if recording is not None:
        end_recording(unit, service, recording, duration_seconds=max(recorded_s(recording), recording.duration_seconds))
    unit.meetings.complete(meeting_id)
    stopped = _locked(unit, workspace_id, meeting_id)
    if service is not None:
        service.trigger_meeting_completed(stopped, unit)
    return stopped


def end_abandoned(
    units: Callable[[], UnitOfWork],
    service: WebhookService | None,
    *,
    silent_for: timedelta,
    server: str | None = None,
) -> int:
    """End the recordings that no server keeps alive, and those that ``server`` left open before; return how many."""
    ended = 0
    with units() as unit:
        for recording in unit.meetings.abandoned_recordings(silent_for=silent_for, server=server):
            ended += end_recording(unit, service, recording, duration_seconds=recording.duration_seconds)
        unit.commit()
    return ended


def _locked(unit: UnitOfWork, workspace_id: UUID, meeting_id: UUID) -> Meeting:
    meeting = unit.meetings.get(workspace_id, meeting_id, lock=True)
    if meeting is None:
        raise NotFoundError(f"meeting_id: no meeting {meeting_id} in this workspace")
    return meeting
