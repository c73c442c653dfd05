"""MeetingService: a meeting's change and its event are stored together, and no failure of webhooks fails it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from noteflow_hooks.application.meetings import list_meetings, new_meeting, read_meeting
from noteflow_hooks.application.requests import create_meeting
from noteflow_hooks.application.summaries import make_summary, read_transcript, store_summary
from noteflow_hooks.domain.violations import check_all
from noteflow_hooks.rpc.interceptors.auth import current_token, current_workspace
from noteflow_hooks.rpc.messages.convert import meeting_message, summary_message
from noteflow_hooks.rpc.messages.pages import fill_counted, parse_page
from noteflow_hooks.rpc.messages.parse import parse_id, parse_meeting_filter, parse_summary
from noteflow_hooks.rpc.messages.requests import check_id_of, parse_request_id
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.rpc.runtime.aside import aside

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from noteflow_hooks.rpc.runtime.calls import Context
    from noteflow_hooks.rpc.services.host import ServicerHost


class MeetingMixin:
    """The RPCs of MeetingService, for a host that has what :class:`ServicerHost` names."""

    async def CreateMeeting(self: ServicerHost, request: pb.CreateMeetingRequest, _: Context) -> pb.Meeting:
        """Make a meeting that can be recorded."""
        workspace_id = current_workspace()
        meeting, _id = check_all(
            lambda: new_meeting(workspace_id, request.title, now=datetime.now(UTC)), lambda: check_id_of(request)
        )
        named = parse_request_id(request, workspace_id=workspace_id, token_id=current_token())
        return meeting_message(await self._database.run(lambda unit: create_meeting(unit, meeting, request=named)))

    async def GetMeeting(self: ServicerHost, request: pb.GetMeetingRequest, _: Context) -> pb.Meeting:
        """Return one meeting, with its summary."""
        workspace_id, meeting_id = current_workspace(), parse_id("meeting_id", request.meeting_id)
        return await self._database.run(lambda unit: meeting_message(*read_meeting(unit, workspace_id, meeting_id)))

    async def ListMeetings(self: ServicerHost, request: pb.ListMeetingsRequest, _: Context) -> pb.ListMeetingsResponse:
        """Return a page of the workspace's meetings."""
        workspace_id = current_workspace()
        page, criteria = check_all(lambda: parse_page(request), lambda: parse_meeting_filter(request))
        # Converted in there too, where others have their turns: for 500 rows that takes tens of milliseconds.
        meetings, token, total = await self._database.run(
            lambda unit: fill_counted(page, list_meetings(unit, workspace_id, criteria, page), meeting_message)
        )
        return pb.ListMeetingsResponse(meetings=meetings, next_page_token=token, total=total)

    async def StopMeeting(self: ServicerHost, request: pb.StopMeetingRequest, _: Context) -> pb.Meeting:
        """Stop a meeting and the stream that records it."""
        meeting_id = parse_id("meeting_id", request.meeting_id)
        return meeting_message(await self._streams.stop_meeting(current_workspace(), meeting_id))

    async def GenerateSummary(self: ServicerHost, request: pb.GenerateSummaryRequest, _: Context) -> pb.Summary:
        """Store the caller's summary, or one that is made of the transcript."""
        workspace_id = current_workspace()
        meeting_id, summary = await aside(
            request,
            lambda: check_all(
                lambda: parse_id("meeting_id", request.meeting_id),
                lambda: parse_summary(request.summary) if request.HasField("summary") else None,
            ),
        )
        if summary is None:
            segments = await self._database.run(
                lambda unit: read_transcript(unit, workspace_id, meeting_id), is_large=True
            )
            summary = await asyncio.to_thread(make_summary, self._summarize, segments)
        await self._database.run(
            lambda unit: store_summary(unit, self._webhook_service, workspace_id, meeting_id, summary)
        )
        return await aside(request, lambda: summary_message(summary))

    async def StreamAudioSegments(
        self: ServicerHost,
        request_iterator: AsyncIterator[pb.StreamAudioSegmentsRequest],
        _: Context,
    ) -> pb.StreamAudioSegmentsResponse:
        """Record audio until the caller ends the stream."""
        return await self._streams.record(current_workspace(), request_iterator, token_id=current_token())
