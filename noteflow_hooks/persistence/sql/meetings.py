"""Meetings, recordings, segments and summaries in PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import Select, and_, exists, func, insert, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from typing_extensions import override

from noteflow_hooks.domain.meetings import Meeting, MeetingState, Recording, Segment, Summary
from noteflow_hooks.domain.ports.repositories import MeetingRepository
from noteflow_hooks.persistence.sql.converters import recording_to_domain
from noteflow_hooks.persistence.sql.orm import MeetingRow, RecordingRow, SegmentRow, SummaryRow
from noteflow_hooks.persistence.sql.paging import among, counted, newest_first

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import timedelta
    from uuid import UUID

    from sqlalchemy import Row
    from sqlalchemy.orm import Session

    from noteflow_hooks.domain.paging import IdRange, Position

#: Gives recordings a sign of life. A server has thousands of them and little time. Rows are locked in the order of
#: their ids, so that two servers' updates can't wait for each other.
_TOUCH: Final = text("""
WITH sign AS MATERIALIZED (
    SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:seconds AS double precision[])) AS each (id, seconds)
), living AS MATERIALIZED (
    SELECT id FROM noteflow.recordings WHERE id IN (SELECT id FROM sign) AND ended_at IS NULL
    ORDER BY id
    FOR NO KEY UPDATE
)
UPDATE noteflow.recordings AS recording
SET seen_at = now(), duration_seconds = sign.seconds
FROM sign JOIN living USING (id)
WHERE recording.id = sign.id
RETURNING recording.id
""")

_MeetingRows = Select[MeetingRow, float, int, bool]


class SqlAlchemyMeetingRepository(MeetingRepository):
    """The meetings in PostgreSQL."""

    def __init__(self, session: Session) -> None:
        """Work in that session."""
        self._session = session

    @override
    def create(self, meeting: Meeting) -> Meeting:
        row = MeetingRow(
            id=meeting.id,
            workspace_id=meeting.workspace_id,
            title=meeting.title,
            state=meeting.state,
            created_at=meeting.created_at,
            stopped_at=meeting.stopped_at,
        )
        self._session.add(row)
        self._session.flush()
        return meeting

    @override
    def get(self, workspace_id: UUID, meeting_id: UUID, *, lock: bool = False) -> Meeting | None:
        wanted = MeetingRow.workspace_id == workspace_id, MeetingRow.id == meeting_id
        if lock:
            # Before the look, so that what is seen is what the lock protects.
            self._session.execute(select(MeetingRow.id).where(*wanted).with_for_update(key_share=True))
        statement = _whole_meetings().where(*wanted)
        row = self._session.execute(statement.execution_options(populate_existing=True)).one_or_none()
        return None if row is None else _meeting(row)

    @override
    def list_page(
        self, workspace_id: UUID, *, limit: int, after: Position | None = None, ids: IdRange | None = None
    ) -> Sequence[Meeting]:
        statement = newest_first(
            _whole_meetings().where(MeetingRow.workspace_id == workspace_id),
            MeetingRow,
            after=after,
            limit=limit,
            ids=ids,
        )
        return [_meeting(row) for row in self._session.execute(statement)]

    @override
    def count(self, workspace_id: UUID, *, ids: IdRange | None = None) -> int:
        own = select(MeetingRow).where(MeetingRow.workspace_id == workspace_id)
        return self._session.scalars(counted(among(own, MeetingRow, ids))).one()

    @override
    def complete(self, meeting_id: UUID) -> None:
        self._session.execute(
            update(MeetingRow)
            .where(MeetingRow.id == meeting_id)
            .values(state=MeetingState.COMPLETED, stopped_at=func.now())
        )

    @override
    def add_segments(self, meeting_id: UUID, segments: Iterable[Segment]) -> None:
        rows = [
            {
                "meeting_id": meeting_id,
                "text": each.text,
                "start_seconds": each.start_seconds,
                "end_seconds": each.end_seconds,
                "speaker": each.speaker,
            }
            for each in segments
        ]
        if rows:
            self._session.execute(insert(SegmentRow), rows)

    @override
    def get_segments(self, meeting_id: UUID) -> Sequence[Segment]:
        rows = self._session.scalars(
            select(SegmentRow).where(SegmentRow.meeting_id == meeting_id).order_by(SegmentRow.id)
        )
        return [Segment(row.text, row.start_seconds, row.end_seconds, row.speaker) for row in rows]

    @override
    def put_summary(self, meeting_id: UUID, summary: Summary) -> None:
        columns = {
            "executive_summary": summary.executive_summary,
            "key_points": list(summary.key_points),
            "action_items": list(summary.action_items),
            "created_at": func.now(),
        }
        statement = upsert(SummaryRow).values(meeting_id=meeting_id, **columns)
        self._session.execute(statement.on_conflict_do_update(index_elements=["meeting_id"], set_=columns))

    @override
    def get_summary(self, meeting_id: UUID) -> Summary | None:
        row = self._session.scalars(
            select(SummaryRow).where(SummaryRow.meeting_id == meeting_id).execution_options(populate_existing=True)
        ).one_or_none()
        if row is None:
            return None
        return Summary(row.executive_summary, tuple(row.key_points), tuple(row.action_items))

    @override
    def start_recording(self, recording: Recording) -> bool:
        statement = (
            upsert(RecordingRow)
            .values(
                id=recording.id,
                meeting_id=recording.meeting_id,
                workspace_id=recording.workspace_id,
                server=recording.server,
                started_at=recording.started_at,
            )
            .on_conflict_do_nothing(index_elements=["meeting_id"], index_where=RecordingRow.ended_at.is_(None))
            .returning(RecordingRow.id)
        )
        return self._session.scalars(statement).one_or_none() is not None

    @override
    def open_recording(self, meeting_id: UUID) -> Recording | None:
        statement = select(RecordingRow).where(RecordingRow.meeting_id == meeting_id, RecordingRow.ended_at.is_(None))
        row = self._session.scalars(statement.execution_options(populate_existing=True)).one_or_none()
        return None if row is None else recording_to_domain(row)

    @override
    def end_recording(self, recording_id: UUID, duration_seconds: float) -> bool:
        statement = (
            update(RecordingRow)
            .where(RecordingRow.id == recording_id, RecordingRow.ended_at.is_(None))
            .values(
                ended_at=func.now(),
                duration_seconds=func.greatest(RecordingRow.duration_seconds, duration_seconds),
            )
            .returning(RecordingRow.id)
        )
        return self._session.scalars(statement).one_or_none() is not None

    @override
    def touch_recordings(self, durations: Mapping[UUID, float]) -> Collection[UUID]:
        ids, seconds = list(durations), list(durations.values())
        return set(self._session.scalars(_TOUCH, {"ids": ids, "seconds": seconds}))

    @override
    def abandoned_recordings(self, *, silent_for: timedelta, server: str | None = None) -> Sequence[Recording]:
        # rule of domain.meetings.Recording.is_abandoned
        silent = RecordingRow.seen_at <= func.now() - silent_for
        mine = or_(silent, RecordingRow.server == server) if server is not None else silent
        statement = select(RecordingRow).where(and_(RecordingRow.ended_at.is_(None), mine))
        rows = self._session.scalars(statement.order_by(RecordingRow.started_at, RecordingRow.id))
        return [recording_to_domain(row) for row in rows]


def _whole_meetings() -> _MeetingRows:
    duration = (
        select(func.coalesce(func.sum(RecordingRow.duration_seconds), 0.0))
        .where(RecordingRow.meeting_id == MeetingRow.id, RecordingRow.ended_at.is_not(None))
        .correlate(MeetingRow)
        .scalar_subquery()
    )
    segments = (
        select(func.count())
        .select_from(SegmentRow)
        .where(SegmentRow.meeting_id == MeetingRow.id)
        .correlate(MeetingRow)
        .scalar_subquery()
    )
    summary = exists(select(SummaryRow.meeting_id).where(SummaryRow.meeting_id == MeetingRow.id).correlate(MeetingRow))
    return select(MeetingRow, duration, segments, summary)


def _meeting(row: Row[MeetingRow, float, int, bool]) -> Meeting:
    stored, duration, segments, summary = row
    return Meeting(
        id=stored.id,
        workspace_id=stored.workspace_id,
        title=stored.title,
        state=MeetingState(stored.state),
        created_at=stored.created_at,
        stopped_at=stored.stopped_at,
        duration_seconds=duration,
        segment_count=segments,
        has_summary=summary,
    )
