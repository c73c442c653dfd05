"""The repository of meetings; it works in its caller's unit of work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from noteflow_hooks.domain.paging import ALL_MEETINGS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import timedelta
    from uuid import UUID

    from noteflow_hooks.domain.meetings import Meeting, Recording, Segment, Summary
    from noteflow_hooks.domain.paging import IdRange, MeetingFilter, Position


class MeetingRepository(Protocol):
    """Meetings and what belongs to them."""

    def create(self, meeting: Meeting) -> Meeting:
        """Store a new meeting."""
        ...

    def get(self, workspace_id: UUID, meeting_id: UUID, *, lock: bool = False) -> Meeting | None:
        """Return a meeting of that workspace, or None; with ``lock`` nobody else changes it before this unit ends."""
        ...

    def lock(self, workspace_id: UUID, meeting_id: UUID) -> tuple[Meeting, Recording | None] | None:
        """Return a meeting of that workspace and its recording that has not ended, or None; both stay as they are.

        Only a sign of life may still come, with a longer duration.
        """
        ...

    def list_page(
        self,
        workspace_id: UUID,
        criteria: MeetingFilter = ALL_MEETINGS,
        *,
        limit: int,
        after: Position | None = None,
        ids: IdRange | None = None,
    ) -> Sequence[Meeting]:
        """Return a page of a workspace's meetings, newest first."""
        ...

    def count(self, workspace_id: UUID, criteria: MeetingFilter = ALL_MEETINGS, *, ids: IdRange | None = None) -> int:
        """Return how many meetings all pages have together, up to :data:`MAX_TOTAL`."""
        ...

    def complete(self, meeting_id: UUID) -> None:
        """Mark it stopped, now by the store's clock."""
        ...

    def add_segments(self, meeting_id: UUID, segments: Iterable[Segment]) -> None:
        """Store finished segments behind the stored ones."""
        ...

    def get_segments(self, meeting_id: UUID) -> Sequence[Segment]:
        """Return the segments in the order in which they came."""
        ...

    def put_summary(self, meeting_id: UUID, summary: Summary) -> None:
        """Store the meeting's summary in place of an earlier one."""
        ...

    def get_summary(self, meeting_id: UUID) -> Summary | None:
        """Return the meeting's summary, or None."""
        ...

    def start_recording(self, recording: Recording) -> bool:
        """Store a new recording; False where the meeting has one that has not ended."""
        ...

    def open_recording(self, meeting_id: UUID) -> Recording | None:
        """Return the recording that has not ended, or None."""
        ...

    def end_recording(self, recording_id: UUID, duration_seconds: float) -> bool:
        """End it, once: False where it had ended. The longer of the stored and the given duration stands."""
        ...

    def touch_recordings(self, durations: Mapping[UUID, float]) -> Collection[UUID]:
        """Report these recordings as alive, with their durations in seconds; return those that have not ended."""
        ...

    def abandoned_recordings(self, *, silent_for: timedelta, server: str | None = None) -> Sequence[Recording]:
        """Return open recordings not reported alive for so long, and all open ones of ``server``, oldest first."""
        ...
