"""MeetingService: meetings are stored with what they cause, and no webhook trouble ever fails them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from noteflow_hooks.domain.meetings import Meeting, MeetingState, Segment, Summary, check_title
from noteflow_hooks.errors import InvalidInputError, NotFoundError, PreconditionError
from noteflow_hooks.rpc.interceptors.auth import current_token, current_workspace
from noteflow_hooks.rpc.messages.convert import meeting_message, summary_message
from noteflow_hooks.rpc.messages.pages import fill, parse_page
from noteflow_hooks.rpc.messages.parse import check_summary, parse_id, parse_summary
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork
    from noteflow_hooks.rpc.runtime.calls import Context
    from noteflow_hooks.rpc.services.host import ServicerHost
    from noteflow_hooks.rpc.services.summarizer import Summarize


class MeetingMixin:
    """The RPCs of MeetingService, for a host that has what :class:`ServicerHost` names."""

    async def CreateMeeting(self: ServicerHost, request: pb.CreateMeetingRequest, _: Context) -> pb.Meeting:
        """Make a meeting that can be recorded."""
        meeting = Meeting(
            id=uuid4(),
            workspace_id=current_workspace(),
            title=check_title(request.title),
            state=MeetingState.ACTIVE,
            created_at=datetime.now(UTC),
        )
        return meeting_message(await self._database.run(lambda unit: unit.meetings.create(meeting)))

    async def GetMeeting(self: ServicerHost, request: pb.GetMeetingRequest, _: Context) -> pb.Meeting:
        """Return one meeting, with its summary."""
        workspace_id, meeting_id = current_workspace(), parse_id("meeting_id", request.meeting_id)

        def read(unit: UnitOfWork) -> pb.Meeting:
            meeting = _found(unit, workspace_id, meeting_id)
            return meeting_message(meeting, unit.meetings.get_summary(meeting_id))

        return await self._database.run(read)

    async def ListMeetings(self: ServicerHost, request: pb.ListMeetingsRequest, _: Context) -> pb.ListMeetingsResponse:
        """Return a page of the workspace's meetings."""
        workspace_id, page = current_workspace(), parse_page(request)
        rows = await self._database.run(
            lambda unit: unit.meetings.list_page(workspace_id, limit=page.limit, after=page.after)
        )
        meetings, token = fill(page, rows, meeting_message)
        return pb.ListMeetingsResponse(meetings=meetings, next_page_token=token)

    async def StopMeeting(self: ServicerHost, request: pb.StopMeetingRequest, _: Context) -> pb.Meeting:
        """Stop a meeting and the stream that records it."""
        meeting_id = parse_id("meeting_id", request.meeting_id)
        return meeting_message(await self._streams.stop_meeting(current_workspace(), meeting_id))

    async def GenerateSummary(self: ServicerHost, request: pb.GenerateSummaryRequest, _: Context) -> pb.Summary:
        """Store the caller's summary, or one that is made of the transcript."""
        workspace_id, meeting_id = current_workspace(), parse_id("meeting_id", request.meeting_id)
        if request.HasField("summary"):
            summary = parse_summary(request.summary)
        else:
            segments = await self._database.run(lambda unit: _transcript(unit, workspace_id, meeting_id))
            summary = await asyncio.to_thread(_summarized, self._summarize, segments)

        def store(unit: UnitOfWork) -> None:
            _found(unit, workspace_id, meeting_id, lock=True)
            unit.meetings.put_summary(meeting_id, summary)
            if self._webhook_service is not None:
                meeting = _found(unit, workspace_id, meeting_id)
                self._webhook_service.trigger_summary_generated(meeting, summary, unit)

        await self._database.run(store)
        return summary_message(summary)

    async def StreamAudioSegments(
        self: ServicerHost,
        request_iterator: AsyncIterator[pb.StreamAudioSegmentsRequest],
        _: Context,
    ) -> pb.StreamAudioSegmentsResponse:
        """Record audio until the caller ends the stream."""
        return await self._streams.record(current_workspace(), request_iterator, token_id=current_token())


def _found(unit: UnitOfWork, workspace_id: UUID, meeting_id: UUID, *, lock: bool = False) -> Meeting:
    meeting = unit.meetings.get(workspace_id, meeting_id, lock=lock)
    if meeting is None:
        raise NotFoundError(f"meeting_id: no meeting {meeting_id} in this workspace")
    return meeting


def _transcript(unit: UnitOfWork, workspace_id: UUID, meeting_id: UUID) -> Sequence[Segment]:
    _found(unit, workspace_id, meeting_id)
    segments = unit.meetings.get_segments(meeting_id)
    if not segments:
        raise PreconditionError(f"meeting {meeting_id} has no transcript to summarize; give a finished summary")
    return segments


def _summarized(summarize: Summarize, segments: Sequence[Segment]) -> Summary:
    try:
        return check_summary(summarize(segments))
    except InvalidInputError as error:
        # Not the caller's fault, so it must not be answered as if it were.
        raise RuntimeError(f"the summarizer's answer can't be stored: {error}") from error
