"""Meetings in memory; what one sums up of its recordings, segments and summary is worked out on reading."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from noteflow_hooks.domain.meetings import Meeting, MeetingState
from noteflow_hooks.persistence.memory.tables import newest, require

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import timedelta
    from uuid import UUID

    from noteflow_hooks.domain.meetings import Recording, Segment, Summary
    from noteflow_hooks.domain.paging import Position
    from noteflow_hooks.persistence.memory.store import Session


class InMemoryMeetingRepository:
    """See :class:`noteflow_hooks.domain.ports.repositories.MeetingRepository`."""

    def __init__(self, session: Session) -> None:
        """Work in this transaction."""
        self._session = session

    def create(self, meeting: Meeting) -> Meeting:
        """Store a new meeting; raise NotFoundError where its workspace is not."""
        require(self._session.tables.workspaces, meeting.workspace_id, called="workspace")
        self._session.tables.meetings[meeting.id] = meeting
        return self._read(meeting)

    def get(self, workspace_id: UUID, meeting_id: UUID, *, lock: bool = False) -> Meeting | None:  # noqa: ARG002 - the unit holds the store's lock in any case
        """Return a meeting of that workspace, or None."""
        meeting = self._session.tables.meetings.get(meeting_id)
        return self._read(meeting) if meeting is not None and meeting.workspace_id == workspace_id else None

    def list_page(self, workspace_id: UUID, *, limit: int, after: Position | None = None) -> Sequence[Meeting]:
        """Return a page of a workspace's meetings, newest first."""
        stored = self._session.tables.meetings.values()
        own = (meeting for meeting in stored if meeting.workspace_id == workspace_id)
        return [self._read(meeting) for meeting in newest(own, limit=limit, after=after)]

    def complete(self, meeting_id: UUID) -> None:
        """Mark it stopped, now by the store's clock."""
        meeting = require(self._session.tables.meetings, meeting_id, called="meeting")
        self._session.tables.meetings[meeting_id] = replace(
            meeting, state=MeetingState.COMPLETED, stopped_at=self._session.now()
        )

    def add_segments(self, meeting_id: UUID, segments: Iterable[Segment]) -> None:
        """Store finished segments behind those that are there."""
        require(self._session.tables.meetings, meeting_id, called="meeting")
        self._session.tables.segments[meeting_id] = (*self.get_segments(meeting_id), *segments)

    def get_segments(self, meeting_id: UUID) -> Sequence[Segment]:
        """Return the segments in the order in which they came."""
        return self._session.tables.segments.get(meeting_id, ())

    def put_summary(self, meeting_id: UUID, summary: Summary) -> None:
        """Store the meeting's summary in place of an earlier one."""
        require(self._session.tables.meetings, meeting_id, called="meeting")
        self._session.tables.summaries[meeting_id] = summary

    def get_summary(self, meeting_id: UUID) -> Summary | None:
        """Return the meeting's summary, or None."""
        return self._session.tables.summaries.get(meeting_id)

    def start_recording(self, recording: Recording) -> bool:
        """Store a new recording, seen now; False where the meeting has one that has not ended."""
        require(self._session.tables.meetings, recording.meeting_id, called="meeting")
        if self.open_recording(recording.meeting_id) is not None:
            return False
        self._session.tables.recordings[recording.id] = replace(recording, seen_at=self._session.now())
        return True

    def open_recording(self, meeting_id: UUID) -> Recording | None:
        """Return the recording that has not ended, or None."""
        return next((each for each in self._open() if each.meeting_id == meeting_id), None)

    def end_recording(self, recording_id: UUID, duration_seconds: float) -> bool:
        """End it, once: False where it had ended. The longer of the stored and the given duration stands."""
        recording = self._session.tables.recordings.get(recording_id)
        if recording is None or recording.ended_at is not None:
            return False
        self._session.tables.recordings[recording_id] = replace(
            recording,
            ended_at=self._session.now(),
            duration_seconds=max(recording.duration_seconds, duration_seconds),
        )
        return True

    def touch_recordings(self, durations: Mapping[UUID, float]) -> Collection[UUID]:
        """Say that these recordings live, and how long they are in seconds; return those that have not ended."""
        now = self._session.now()
        living = [each for each in self._open() if each.id in durations]
        for recording in living:
            self._session.tables.recordings[recording.id] = replace(
                recording, seen_at=now, duration_seconds=durations[recording.id]
            )
        return {recording.id for recording in living}

    def abandoned_recordings(self, *, silent_for: timedelta, server: str | None = None) -> Sequence[Recording]:
        """Return open recordings silent for so long, and all open ones of ``server``, oldest first."""
        last = self._session.now() - silent_for
        silent = [each for each in self._open() if each.seen_at <= last or each.server == server]
        return sorted(silent, key=lambda recording: (recording.started_at, recording.id))

    def _open(self) -> list[Recording]:
        return [each for each in self._session.tables.recordings.values() if each.ended_at is None]

    def _read(self, meeting: Meeting) -> Meeting:
        tables = self._session.tables
        ended = (each for each in tables.recordings.values() if each.ended_at is not None)
        return replace(
            meeting,
            duration_seconds=sum(each.duration_seconds for each in ended if each.meeting_id == meeting.id),
            segment_count=len(tables.segments.get(meeting.id, ())),
            has_summary=meeting.id in tables.summaries,
        )
