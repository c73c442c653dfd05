"""EventService: events that another NoteFlow server publishes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noteflow_hooks.application.events import (
    ENDPOINTS_LIMIT,
    accepted,
    erase_meeting,
    list_events,
    read_event,
)
from noteflow_hooks.domain.events import is_custom
from noteflow_hooks.domain.payloads import check_name
from noteflow_hooks.domain.violations import check_all
from noteflow_hooks.rpc.interceptors.auth import current_actor, current_workspace
from noteflow_hooks.rpc.messages.convert import briefly, endpoint_message, event_message
from noteflow_hooks.rpc.messages.pages import fill, fill_counted, parse_endpoint_page, parse_page
from noteflow_hooks.rpc.messages.parse import parse_event, parse_event_filter, parse_id
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.rpc.runtime.aside import aside
from noteflow_hooks.rpc.services.batch import parse_own, publish_batch
from noteflow_hooks.rpc.services.host import required, with_webhooks

if TYPE_CHECKING:
    from noteflow_hooks.rpc.runtime.calls import Context
    from noteflow_hooks.rpc.services.host import ServicerHost


class EventMixin:
    """The RPCs of EventService, for a host that has what :class:`ServicerHost` names."""

    async def PublishEvent(self: ServicerHost, request: pb.PublishEventRequest, _: Context) -> pb.Event:
        """Store an event, or return the one that its idempotency key stands for."""
        service, workspace_id = required(self._webhook_service), current_workspace()
        if is_custom(request.event_type):
            [made] = await parse_own([request], self._database, self._schemas, workspace_id=workspace_id)
            event = accepted(made)
        else:
            # A large payload is parsed in a thread: a megabyte of JSON would hold up every other call.
            event = await aside(request, lambda: parse_event(request, workspace_id=workspace_id))
        [outcome] = await self._database.store(service.publish_all, [event])
        return event_message(accepted(outcome))

    async def PublishEvents(
        self: ServicerHost, request: pb.PublishEventsRequest, _: Context
    ) -> pb.PublishEventsResponse:
        """Store many events, each as by itself, and say of each what came of it."""
        service, workspace_id = required(self._webhook_service), current_workspace()
        return await publish_batch(self._database, service, request, self._schemas, workspace_id=workspace_id)

    async def ListEvents(self: ServicerHost, request: pb.ListEventsRequest, _: Context) -> pb.ListEventsResponse:
        """Return a page of the workspace's events."""
        required(self._webhook_service)
        workspace_id = current_workspace()
        page, criteria = check_all(lambda: parse_page(request), lambda: parse_event_filter(request))
        # Converted in there too, where others have their turns: for 500 rows that takes tens of milliseconds.
        events, token, total = await self._database.run(
            lambda unit: fill_counted(
                page, list_events(with_webhooks(unit), workspace_id, criteria, page), event_message
            )
        )
        return pb.ListEventsResponse(events=events, next_page_token=token, total=total)

    async def GetEvent(self: ServicerHost, request: pb.GetEventRequest, _: Context) -> pb.GetEventResponse:
        """Return one event with its deliveries, and why endpoints have none."""
        required(self._webhook_service)
        workspace_id = current_workspace()
        event_id, page = check_all(
            lambda: parse_id("event_id", request.event_id),
            lambda: parse_endpoint_page(request, most=ENDPOINTS_LIMIT),
        )
        view = await self._database.run(lambda unit: read_event(with_webhooks(unit), workspace_id, event_id, page))
        endpoints, token = fill(page, view.endpoints, endpoint_message)
        return pb.GetEventResponse(
            event=event_message(view.event),
            deliveries=map(briefly, view.deliveries),
            without_delivery=[each for each in endpoints if each.reason],
            next_page_token=token,
        )

    async def EraseMeetingPayloads(
        self: ServicerHost, request: pb.EraseMeetingPayloadsRequest, _: Context
    ) -> pb.EraseMeetingPayloadsResponse:
        """Erase the payloads of a meeting's events; without any, that is no error."""
        required(self._webhook_service)
        workspace_id, meeting_id = current_workspace(), check_name("meeting_id", request.meeting_id)
        by = current_actor()
        events, skipped = await self._database.run(
            lambda unit: erase_meeting(with_webhooks(unit), workspace_id, meeting_id, by=by)
        )
        return pb.EraseMeetingPayloadsResponse(events=events, skipped=skipped)
