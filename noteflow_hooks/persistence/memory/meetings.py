"""Meetings in memory; what one sums up of its recordings, segments and summary is worked out on reading."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from typing_extensions import override

from noteflow_hooks.domain.matching import is_met
from noteflow_hooks.domain.meetings import Meeting, MeetingState
from noteflow_hooks.domain.paging import ALL_MEETINGS
from noteflow_hooks.domain.ports.meetings import MeetingRepository
from noteflow_hooks.persistence.memory.tables import counted, newest, require

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import timedelta
    from uuid import UUID

    from noteflow_hooks.domain.meetings import Recording, Segment, Summary
    from noteflow_hooks.domain.paging import IdRange, MeetingFilter, Position
    from noteflow_hooks.persistence.memory.store import Session


class InMemoryMeetingRepository(MeetingRepository):
    """The meetings in memory."""

    def __init__(self, session: Session) -> None:
        """Work in this transaction."""
        self._session = session

    @override
    def create(self, meeting: Meeting) -> Meeting:
        require(self._session.tables.workspaces, meeting.workspace_id, called="workspace")
        self._session.tables.meetings[meeting.id] = meeting
        return self._read(meeting)

    @override
    def get(self, workspace_id: UUID, meeting_id: UUID, *, lock: bool = False) -> Meeting | None:
        meeting = self._session.tables.meetings.get(meeting_id)
        return self._read(meeting) if meeting is not None and meeting.workspace_id == workspace_id else None

    @override
    def lock(self, workspace_id: UUID, meeting_id: UUID) -> tuple[Meeting, Recording | None] | None:
        meeting = self.get(workspace_id, meeting_id, lock=True)
        return None if meeting is None else (meeting, self.open_recording(meeting_id))

    @override
    def list_page(
        self,
        workspace_id: UUID,
        criteria: MeetingFilter = ALL_MEETINGS,
        *,
        limit: int,
        after: Position | None = None,
        ids: IdRange | None = None,
    ) -> Sequence[Meeting]:
        own = [each for each in self._own(workspace_id) if is_met(each, criteria)]
        return [self._read(meeting) for meeting in newest(own, limit=limit, after=after, ids=ids)]

    @override
    def count(self, workspace_id: UUID, criteria: MeetingFilter = ALL_MEETINGS, *, ids: IdRange | None = None) -> int:
        return counted([each for each in self._own(workspace_id) if is_met(each, criteria)], ids)

    @override
    def complete(self, meeting_id: UUID) -> None:
        meeting = require(self._session.tables.meetings, meeting_id, called="meeting")
        self._session.tables.meetings[meeting_id] = replace(
            meeting, state=MeetingState.COMPLETED, stopped_at=self._session.now()
        )

    @override
    def add_segments(self, meeting_id: UUID, segments: Iterable[Segment]) -> None:
        require(self._session.tables.meetings, meeting_id, called="meeting")
        self._session.tables.segments[meeting_id] = (*self.get_segments(meeting_id), *segments)

    @override
    def get_segments(self, meeting_id: UUID) -> Sequence[Segment]:
        return self._session.tables.segments.get(meeting_id, ())

    @override
    def put_summary(self, meeting_id: UUID, summary: Summary) -> None:
        require(self._session.tables.meetings, meeting_id, called="meeting")
        self._session.tables.summaries[meeting_id] = summary

    @override
    def get_summary(self, meeting_id: UUID) -> Summary | None:
        return self._session.tables.summaries.get(meeting_id)

    @override
    def start_recording(self, recording: Recording) -> bool:
        require(self._session.tables.meetings, recording.meeting_id, called="meeting")
        if self.open_recording(recording.meeting_id) is not None:
            return False
        self._session.tables.recordings[recording.id] = replace(recording, seen_at=self._session.now())
        return True

    @override
    def open_recording(self, meeting_id: UUID) -> Recording | None:
        return next((each for each in self._open() if each.meeting_id == meeting_id), None)

    @override
    def end_recording(self, recording_id: UUID, duration_seconds: float) -> bool:
        recording = self._session.tables.recordings.get(recording_id)
        if recording is None or recording.ended_at is not None:
            return False
        self._session.tables.recordings[recording_id] = replace(
            recording,
            ended_at=self._session.now(),
            duration_seconds=max(recording.duration_seconds, duration_seconds),
        )
        return True

    @override
    def touch_recordings(self, durations: Mapping[UUID, float]) -> Collection[UUID]:
        now = self._session.now()
        living = [each for each in self._open() if each.id in durations]
        for recording in living:
            self._session.tables.recordings[recording.id] = replace(
                recording, seen_at=now, duration_seconds=durations[recording.id]
            )
        return {recording.id for recording in living}

    @override
    def abandoned_recordings(self, *, silent_for: timedelta, server: str | None = None) -> Sequence[Recording]:
        now = self._session.now()
        stored = self._session.tables.recordings.values()
        silent = [each for each in stored if each.is_abandoned(now, silent_for=silent_for, server=server)]
        return sorted(silent, key=lambda recording: (recording.started_at, recording.id))

    def _open(self) -> list[Recording]:
        return [each for each in self._session.tables.recordings.values() if each.ended_at is None]

    def _own(self, workspace_id: UUID) -> list[Meeting]:
        return [each for each in self._session.tables.meetings.values() if each.workspace_id == workspace_id]

    def _read(self, meeting: Meeting) -> Meeting:
        tables = self._session.tables
        ended = (each for each in tables.recordings.values() if each.ended_at is not None)
        return replace(
            meeting,
            duration_seconds=sum(each.duration_seconds for each in ended if each.meeting_id == meeting.id),
            segment_count=len(tables.segments.get(meeting.id, ())),
            has_summary=meeting.id in tables.summaries,
        )
