"""EventService: events that another NoteFlow server publishes."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from noteflow_hooks.domain.ids import ordered_id
from noteflow_hooks.domain.payloads import check_name
from noteflow_hooks.domain.publishing import event_from_json
from noteflow_hooks.rpc.interceptors.auth import current_workspace
from noteflow_hooks.rpc.messages.convert import event_message
from noteflow_hooks.rpc.messages.pages import fill, parse_page
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.rpc.services.host import required, with_webhooks

if TYPE_CHECKING:
    from noteflow_hooks.domain.events import Event
    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork
    from noteflow_hooks.rpc.runtime.calls import Context
    from noteflow_hooks.rpc.services.host import ServicerHost

log = logging.getLogger(__name__)


class EventMixin:
    """The RPCs of EventService, for a host that has what :class:`ServicerHost` names."""

    async def PublishEvent(self: ServicerHost, request: pb.PublishEventRequest, _: Context) -> pb.Event:
        """Store an event, or return the one that its idempotency key stands for."""
        service, workspace_id = required(self._webhook_service), current_workspace()

        def publish(unit: UnitOfWork) -> Event:
            # Parsed here, in a thread: a megabyte of JSON would hold up every other call.
            event = event_from_json(
                ordered_id(),
                workspace_id,
                request.event_type,
                request.payload_json,
                idempotency_key=request.idempotency_key if request.HasField("idempotency_key") else None,
                now=datetime.now(UTC),
            )
            return service.publish(event, with_webhooks(unit))

        return event_message(await self._database.run(publish))

    async def ListEvents(self: ServicerHost, request: pb.ListEventsRequest, _: Context) -> pb.ListEventsResponse:
        """Return a page of the workspace's events."""
        required(self._webhook_service)
        workspace_id, page = current_workspace(), parse_page(request)
        rows = await self._database.run(
            lambda unit: with_webhooks(unit).events.list_page(workspace_id, limit=page.limit, after=page.after)
        )
        events, token = fill(page, rows, event_message)
        return pb.ListEventsResponse(events=events, next_page_token=token)

    async def EraseMeetingPayloads(
        self: ServicerHost, request: pb.EraseMeetingPayloadsRequest, _: Context
    ) -> pb.EraseMeetingPayloadsResponse:
        """Erase the payloads of a meeting's events; without any, that is no error."""
        required(self._webhook_service)
        meeting_id = check_name("meeting_id", request.meeting_id)
        workspace_id = current_workspace()
        events, skipped = await self._database.run(
            lambda unit: with_webhooks(unit).events.erase_meeting(workspace_id, meeting_id)
        )
        log.info("meeting %r: %d payloads erased on request, %d deliveries skipped", meeting_id, events, skipped)
        return pb.EraseMeetingPayloadsResponse(events=events, skipped=skipped)
