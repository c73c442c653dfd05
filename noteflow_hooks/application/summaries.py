"""Summaries of meetings: a caller's own, or one that is made of the transcript.

Making one may take long and needs no database, so it stands between two units of work: read the transcript in one,
make the summary in none, store it in another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from noteflow_hooks.application.meetings import find_meeting
from noteflow_hooks.domain.meetings import check_summary
from noteflow_hooks.errors import InvalidInputError, PreconditionError, Reason

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from noteflow_hooks.application.summarizer import Summarize
    from noteflow_hooks.application.webhooks import WebhookService
    from noteflow_hooks.domain.meetings import Segment, Summary
    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork


def read_transcript(unit: UnitOfWork, workspace_id: UUID, meeting_id: UUID) -> Sequence[Segment]:
    """Return the meeting's segments; raise NotFoundError, or PreconditionError where it has none to summarize."""
    find_meeting(unit, workspace_id, meeting_id)
    segments = unit.meetings.get_segments(meeting_id)
    if not segments:
        raise PreconditionError(
            f"meeting {meeting_id} has no transcript to summarize; give a finished summary", reason=Reason.NO_TRANSCRIPT
        )
    return segments


def make_summary(summarize: Summarize, segments: Sequence[Segment]) -> Summary:
    """Return the summarizer's answer; raise RuntimeError where that can't be stored, which is no fault of a caller."""
    try:
        return check_summary(summarize(segments))
    except InvalidInputError as error:
        raise RuntimeError(f"the summarizer's answer can't be stored: {error}") from error


def store_summary(
    unit: UnitOfWork, service: WebhookService | None, workspace_id: UUID, meeting_id: UUID, summary: Summary
) -> Summary:
    """Store the summary in place of an earlier one, and record the event; ``service`` None records none."""
    find_meeting(unit, workspace_id, meeting_id, lock=True)
    unit.meetings.put_summary(meeting_id, summary)
    if service is not None:
        # Read again: the payload says what the meeting has now.
        service.trigger_summary_generated(find_meeting(unit, workspace_id, meeting_id), summary, unit)
    return summary
