"""Meetings, recordings, segments and summaries in PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override

from noteflow_hooks.domain.meetings import Meeting, MeetingState, Recording, Segment, Summary
from noteflow_hooks.domain.paging import ALL_MEETINGS
from noteflow_hooks.domain.ports.meetings import MeetingRepository
from noteflow_hooks.persistence.sql.converters import recording_to_domain
from noteflow_hooks.persistence.sql.narrowed_lists import NarrowedLists
from noteflow_hooks.persistence.sql.wire import Statement

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import timedelta
    from uuid import UUID

    from noteflow_hooks.domain.paging import IdRange, MeetingFilter, Position
    from noteflow_hooks.persistence.sql.work import Answer, Work

_CREATE: Final = Statement("""
INSERT INTO noteflow.meetings (id, workspace_id, title, state, created_at, stopped_at)
VALUES (:id, :workspace_id, :title, :state, :created_at, :stopped_at)
""")
_LOCK: Final = Statement(
    "SELECT id FROM noteflow.meetings WHERE workspace_id = :workspace_id AND id = :id FOR NO KEY UPDATE"
)
#: Meetings with what their rows don't have.
_COLUMNS: Final = """
id, workspace_id, title, state, created_at, stopped_at,
    (
        SELECT coalesce(sum(recording.duration_seconds), 0.0) FROM noteflow.recordings AS recording
        WHERE recording.meeting_id = meeting.id AND recording.ended_at IS NOT NULL
    ) AS duration_seconds,
    (SELECT count(*) FROM noteflow.segments AS segment WHERE segment.meeting_id = meeting.id) AS segment_count,
    EXISTS (SELECT FROM noteflow.summaries AS summary WHERE summary.meeting_id = meeting.id) AS has_summary
"""
_TABLE: Final = "noteflow.meetings AS meeting"
_GET: Final = Statement(
    f"SELECT {_COLUMNS} FROM {_TABLE} WHERE workspace_id = :workspace_id AND id = :id",  # noqa: S608 - constants
    reads=True,
)
# rule of domain.matching.is_met
_LISTS: Final = NarrowedLists(_COLUMNS, _TABLE, own={"text": "strpos(lower(title), lower(:text)) > 0"})
_COMPLETE: Final = Statement(
    f"UPDATE noteflow.meetings SET state = '{MeetingState.COMPLETED}', stopped_at = now() WHERE id = :id"  # noqa: S608 - a constant
)
_ADD_SEGMENTS: Final = Statement("""
INSERT INTO noteflow.segments (meeting_id, text, start_seconds, end_seconds, speaker)
SELECT CAST(:meeting_id AS uuid), each.text, each.start_seconds, each.end_seconds, each.speaker
FROM unnest(
    CAST(:texts AS text[]), CAST(:starts AS double precision[]), CAST(:ends AS double precision[]),
    CAST(:speakers AS text[])
) WITH ORDINALITY AS each (text, start_seconds, end_seconds, speaker, nth)
ORDER BY each.nth
""")
_SEGMENTS: Final = Statement(
    "SELECT text, start_seconds, end_seconds, speaker FROM noteflow.segments"
    " WHERE meeting_id = :meeting_id ORDER BY id",
    reads=True,
)
_PUT_SUMMARY: Final = Statement("""
INSERT INTO noteflow.summaries (meeting_id, executive_summary, key_points, action_items, created_at)
VALUES (:meeting_id, :executive_summary, :key_points, :action_items, now())
ON CONFLICT (meeting_id) DO UPDATE
SET executive_summary = excluded.executive_summary, key_points = excluded.key_points,
    action_items = excluded.action_items, created_at = excluded.created_at
""")
_SUMMARY: Final = Statement(
    "SELECT executive_summary, key_points, action_items FROM noteflow.summaries WHERE meeting_id = :meeting_id",
    reads=True,
)
_START_RECORDING: Final = Statement("""
INSERT INTO noteflow.recordings (id, meeting_id, workspace_id, server, started_at)
VALUES (:id, :meeting_id, :workspace_id, :server, :started_at)
ON CONFLICT (meeting_id) WHERE ended_at IS NULL DO NOTHING
RETURNING id
""")
_RECORDINGS: Final = f"SELECT {', '.join(Recording.__dataclass_fields__)} FROM noteflow.recordings WHERE"  # noqa: S608 - constants
_OPEN_RECORDING: Final = Statement(f"{_RECORDINGS} meeting_id = :meeting_id AND ended_at IS NULL", reads=True)
# rule of domain.meetings.Recording.is_abandoned
_ABANDONED: Final = Statement(
    f"{_RECORDINGS} ended_at IS NULL AND (seen_at <= now() - CAST(:silent_for AS interval) OR server = :server)"
    " ORDER BY started_at, id",
    reads=True,
)
_END_RECORDING: Final = Statement("""
UPDATE noteflow.recordings
SET ended_at = now(), duration_seconds = greatest(duration_seconds, CAST(:seconds AS double precision))
WHERE id = :id AND ended_at IS NULL
RETURNING id
""")
#: Gives recordings a sign of life. A server has thousands of them and little time. Rows are locked in the order of
#: their ids, so that two servers' updates can't wait for each other.
_TOUCH: Final = Statement("""
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


class SqlAlchemyMeetingRepository(MeetingRepository):
    """The meetings in PostgreSQL."""

    def __init__(self, work: Work) -> None:
        """Do it in that work."""
        self._work = work

    @override
    def create(self, meeting: Meeting) -> Meeting:
        columns = ("id", "workspace_id", "title", "state", "created_at", "stopped_at")
        self._work.ask(_CREATE, **{name: getattr(meeting, name) for name in columns})
        return meeting

    @override
    def get(self, workspace_id: UUID, meeting_id: UUID, *, lock: bool = False) -> Meeting | None:
        row = self._whole(workspace_id, meeting_id, lock=lock).first()
        return None if row is None else _meeting(row)

    @override
    def lock(self, workspace_id: UUID, meeting_id: UUID) -> tuple[Meeting, Recording | None] | None:
        whole = self._whole(workspace_id, meeting_id, lock=True)
        recording = self._work.ask(_OPEN_RECORDING, meeting_id=meeting_id)
        row, own = whole.first(), recording.first()
        return None if row is None else (_meeting(row), None if own is None else recording_to_domain(own))

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
        pages, own = _LISTS.of(workspace_id, criteria)
        statement, params = pages.page(after=after, limit=limit, ids=ids, **own)
        return [_meeting(row) for row in self._work.by_turns(self._work.ask(statement, **params).all())]

    @override
    def count(self, workspace_id: UUID, criteria: MeetingFilter = ALL_MEETINGS, *, ids: IdRange | None = None) -> int:
        pages, own = _LISTS.of(workspace_id, criteria)
        statement, params = pages.total(ids=ids, **own)
        total: int = self._work.ask(statement, **params).first().total
        return total

    @override
    def complete(self, meeting_id: UUID) -> None:
        self._work.ask(_COMPLETE, id=meeting_id)

    @override
    def add_segments(self, meeting_id: UUID, segments: Iterable[Segment]) -> None:
        rows = list(segments)
        if rows:
            self._work.ask(
                _ADD_SEGMENTS,
                meeting_id=meeting_id,
                texts=[each.text for each in rows],
                starts=[each.start_seconds for each in rows],
                ends=[each.end_seconds for each in rows],
                speakers=[each.speaker for each in rows],
            )

    @override
    def get_segments(self, meeting_id: UUID) -> Sequence[Segment]:
        rows = self._work.ask(_SEGMENTS, meeting_id=meeting_id).all()
        return [Segment(*row) for row in self._work.by_turns(rows)]

    @override
    def put_summary(self, meeting_id: UUID, summary: Summary) -> None:
        self._work.ask(
            _PUT_SUMMARY,
            meeting_id=meeting_id,
            executive_summary=summary.executive_summary,
            key_points=list(summary.key_points),
            action_items=list(summary.action_items),
        )

    @override
    def get_summary(self, meeting_id: UUID) -> Summary | None:
        row = self._work.ask(_SUMMARY, meeting_id=meeting_id).first()
        return None if row is None else Summary(row.executive_summary, tuple(row.key_points), tuple(row.action_items))

    @override
    def start_recording(self, recording: Recording) -> bool:
        columns = ("id", "meeting_id", "workspace_id", "server", "started_at")
        return bool(self._work.ask(_START_RECORDING, **{name: getattr(recording, name) for name in columns}).all())

    @override
    def open_recording(self, meeting_id: UUID) -> Recording | None:
        row = self._work.ask(_OPEN_RECORDING, meeting_id=meeting_id).first()
        return None if row is None else recording_to_domain(row)

    @override
    def end_recording(self, recording_id: UUID, duration_seconds: float) -> bool:
        return bool(self._work.ask(_END_RECORDING, id=recording_id, seconds=duration_seconds).all())

    @override
    def touch_recordings(self, durations: Mapping[UUID, float]) -> Collection[UUID]:
        rows = self._work.ask(_TOUCH, ids=list(durations), seconds=list(durations.values())).all()
        return {row.id for row in rows}

    @override
    def abandoned_recordings(self, *, silent_for: timedelta, server: str | None = None) -> Sequence[Recording]:
        rows = self._work.ask(_ABANDONED, silent_for=silent_for, server=server).all()
        return [recording_to_domain(row) for row in rows]

    def _whole(self, workspace_id: UUID, meeting_id: UUID, *, lock: bool) -> Answer:
        if lock:
            # Before the look, so that what is seen is what the lock protects.
            self._work.ask(_LOCK, workspace_id=workspace_id, id=meeting_id)
        return self._work.ask(_GET, workspace_id=workspace_id, id=meeting_id)


def _meeting(row: Any) -> Meeting:  # noqa: ANN401 - a row of the statements for whole meetings
    return Meeting(
        id=row.id,
        workspace_id=row.workspace_id,
        title=row.title,
        state=MeetingState(row.state),
        created_at=row.created_at,
        stopped_at=row.stopped_at,
        duration_seconds=row.duration_seconds,
        segment_count=row.segment_count,
        has_summary=row.has_summary,
    )
