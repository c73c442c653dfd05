"""The life of a meeting, and of its recordings: a stream begins one; the stream or the meeting's end ends it.

Where a server dies, another one ends its recordings. Each function works in the caller's unit of work and records the
events there; ``service`` None records none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from noteflow_hooks.domain.meetings import Meeting, MeetingState, Recording, check_title
from noteflow_hooks.errors import NotFoundError, PreconditionError, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta

    from noteflow_hooks.application.webhooks import WebhookService
    from noteflow_hooks.domain.meetings import Segment, Summary
    from noteflow_hooks.domain.paging import MeetingFilter, Page
    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork


def new_meeting(workspace_id: UUID, title: str, *, now: datetime) -> Meeting:
    """Make a meeting that can be recorded; raise InvalidInputError for a title that can't be."""
    return Meeting(
        id=uuid4(),
        workspace_id=workspace_id,
        title=check_title(title),
        state=MeetingState.ACTIVE,
        created_at=now,
    )


def find_meeting(unit: UnitOfWork, workspace_id: UUID, meeting_id: UUID, *, lock: bool = False) -> Meeting:
    """Return the meeting, or raise NotFoundError where the workspace has none of that id."""
    meeting = unit.meetings.get(workspace_id, meeting_id, lock=lock)
    if meeting is None:
        raise _not_found(meeting_id)
    return meeting


def read_meeting(unit: UnitOfWork, workspace_id: UUID, meeting_id: UUID) -> tuple[Meeting, Summary | None]:
    """Return a meeting and its summary, or raise NotFoundError."""
    return find_meeting(unit, workspace_id, meeting_id), unit.meetings.get_summary(meeting_id)


def start_recording(
    unit: UnitOfWork,
    service: WebhookService | None,
    workspace_id: UUID,
    meeting_id: UUID,
    *,
    server: str,
    now: datetime,
) -> Recording:
    """Begin a recording; raise NotFoundError, or PreconditionError where the meeting can't be recorded now."""
    meeting = find_meeting(unit, workspace_id, meeting_id, lock=True)
    if meeting.state is not MeetingState.ACTIVE:
        raise PreconditionError(
            f"meeting {meeting_id} is stopped; it can't be recorded any more", reason=Reason.MEETING_STOPPED
        )
    recording = Recording(
        id=uuid4(),
        meeting_id=meeting_id,
        workspace_id=workspace_id,
        server=server,
        started_at=now,
        seen_at=now,
    )
    if not unit.meetings.start_recording(recording):
        raise PreconditionError(
            f"meeting {meeting_id} is being recorded already; one stream at a time is allowed",
            reason=Reason.ALREADY_RECORDING,
        )
    if service is not None:
        service.trigger_recording_started(meeting_id, meeting.title, workspace_id=workspace_id, unit=unit)
    return recording


def end_recording(
    unit: UnitOfWork, service: WebhookService | None, recording: Recording, *, duration_seconds: float
) -> bool:
    """End a recording, once: False where it had ended already, and then there is no event."""
    meeting = find_meeting(unit, recording.workspace_id, recording.meeting_id, lock=True)
    if not unit.meetings.end_recording(recording.id, duration_seconds):
        return False
    if service is not None:
        service.trigger_recording_stopped(
            meeting.id, meeting.title, duration_seconds, workspace_id=meeting.workspace_id, unit=unit
        )
    return True


def add_segments(unit: UnitOfWork, workspace_id: UUID, meeting_id: UUID, segments: Sequence[Segment]) -> None:
    """Store a stream's segments; raise PreconditionError where the meeting was stopped meanwhile."""
    meeting = find_meeting(unit, workspace_id, meeting_id, lock=True)
    if meeting.state is not MeetingState.ACTIVE:
        raise ended_elsewhere(meeting_id)
    unit.meetings.add_segments(meeting_id, segments)


def finish_stream(
    unit: UnitOfWork,
    service: WebhookService | None,
    workspace_id: UUID,
    meeting_id: UUID,
    *,
    recording: Recording | None,
    segments: Sequence[Segment],
    duration_seconds: float,
) -> None:
    """Store a stream's last segments and end its recording, if audio came and it has one.

    Raise PreconditionError where that had ended before. It is raised, not returned, so that the segments are rolled
    back: they would come twice where an earlier attempt's commit only seemed to fail.
    """
    add_segments(unit, workspace_id, meeting_id, segments)
    if recording is not None and not end_recording(unit, service, recording, duration_seconds=duration_seconds):
        raise ended_elsewhere(meeting_id)


def stop_streamed_meeting(
    unit: UnitOfWork,
    service: WebhookService | None,
    workspace_id: UUID,
    meeting_id: UUID,
    *,
    recording: Recording | None,
    segments: Sequence[Segment],
    seconds: Callable[[], float],
) -> Meeting:
    """Stop a meeting that a stream records, with the segments and seconds of audio that only the stream knows."""

    def recorded_s(open_recording: Recording) -> float:
        is_ours = recording is not None and open_recording.id == recording.id
        return seconds() if is_ours else open_recording.duration_seconds

    if find_meeting(unit, workspace_id, meeting_id, lock=True).state is MeetingState.ACTIVE:
        unit.meetings.add_segments(meeting_id, segments)
    return stop_meeting(unit, service, workspace_id, meeting_id, recorded_s=recorded_s)


def ended_elsewhere(meeting_id: UUID) -> PreconditionError:
    """Return the error of a stream whose recording was ended, but not by the stream."""
    return PreconditionError(
        f"meeting {meeting_id} was stopped, or its recording ended, meanwhile", reason=Reason.RECORDING_ENDED
    )


def stop_meeting(
    unit: UnitOfWork,
    service: WebhookService | None,
    workspace_id: UUID,
    meeting_id: UUID,
    *,
    recorded_s: Callable[[Recording], float] = lambda recording: recording.duration_seconds,
) -> Meeting:
    """End the meeting's recording, stop it and return it; one that was stopped before is returned as it is.

    ``recorded_s`` returns how many seconds an open recording has: the server that records it knows more than the store.
    """
    found = unit.meetings.lock(workspace_id, meeting_id)
    if found is None:
        raise _not_found(meeting_id)
    meeting, recording = found
    if meeting.state is MeetingState.COMPLETED:
        return meeting
    if recording is not None:
        end_recording(unit, service, recording, duration_seconds=max(recorded_s(recording), recording.duration_seconds))
    unit.meetings.complete(meeting_id)
    stopped = find_meeting(unit, workspace_id, meeting_id)
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
    """End the recordings without a heartbeat for so long, and all open ones of ``server``; return how many."""
    ended = 0
    with units() as unit:
        # In the order in which the meetings' counters of events are locked, by all who lock several.
        abandoned = unit.meetings.abandoned_recordings(silent_for=silent_for, server=server)
        for recording in sorted(abandoned, key=lambda each: (each.workspace_id, str(each.meeting_id))):
            ended += end_recording(unit, service, recording, duration_seconds=recording.duration_seconds)
        unit.commit()
    return ended


def list_meetings(
    unit: UnitOfWork, workspace_id: UUID, criteria: MeetingFilter, page: Page
) -> tuple[Sequence[Meeting], int]:
    """Return a page of the workspace's meetings, newest first, and how many there are where the page asks."""
    rows = unit.meetings.list_page(workspace_id, criteria, limit=page.limit, after=page.after, ids=page.ids)
    return rows, unit.meetings.count(workspace_id, criteria, ids=page.ids) if page.counts else 0


def _not_found(meeting_id: UUID) -> NotFoundError:
    return NotFoundError(f"meeting_id: no meeting {meeting_id} in this workspace")
