"""EventService, second part: the catalogue of event types."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from noteflow_hooks.application.event_types import (
    checked_type,
    delete_event_type,
    list_event_types,
    put_event_type,
    read_event_type,
)
from noteflow_hooks.domain.event_types import check_custom_name
from noteflow_hooks.domain.payloads import check_name
from noteflow_hooks.rpc.interceptors.auth import current_actor, current_workspace
from noteflow_hooks.rpc.messages.convert import event_type_message
from noteflow_hooks.rpc.messages.parse import optional, parse_event_type
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.rpc.runtime.aside import aside_if
from noteflow_hooks.rpc.services.host import required, with_webhooks

if TYPE_CHECKING:
    from noteflow_hooks.rpc.runtime.calls import Context
    from noteflow_hooks.rpc.services.host import ServicerHost


#: More types than that, and a message of them takes long.
_MANY: Final = 20


class EventTypeMixin:
    """The RPCs about event types, for a host that has what :class:`ServicerHost` names."""

    async def ListEventTypes(
        self: ServicerHost, _request: pb.ListEventTypesRequest, _: Context
    ) -> pb.ListEventTypesResponse:
        """Return the whole catalogue."""
        required(self._webhook_service)
        workspace_id = current_workspace()
        found = await self._database.run(lambda unit: list_event_types(with_webhooks(unit), workspace_id))
        # In a thread where the workspace has many: a hundred schemas are megabytes.
        return await aside_if(
            len(found) > _MANY, lambda: pb.ListEventTypesResponse(event_types=map(event_type_message, found))
        )

    async def GetEventType(self: ServicerHost, request: pb.GetEventTypeRequest, _: Context) -> pb.EventType:
        """Return one type."""
        required(self._webhook_service)
        workspace_id, name = current_workspace(), check_name("name", request.name)
        version = optional(request, "payload_version")
        return event_type_message(
            await self._database.run(
                lambda unit: read_event_type(with_webhooks(unit), workspace_id, name, payload_version=version)
            )
        )

    async def PutEventType(self: ServicerHost, request: pb.PutEventTypeRequest, _: Context) -> pb.EventType:
        """Store a type of the workspace's own."""
        required(self._webhook_service)
        workspace_id, by = current_workspace(), current_actor()
        kind = await asyncio.to_thread(
            lambda: checked_type(parse_event_type(request, workspace_id=workspace_id), self._schemas)
        )
        return event_type_message(
            await self._database.run(lambda unit: put_event_type(with_webhooks(unit), kind, by=by))
        )

    async def DeleteEventType(
        self: ServicerHost, request: pb.DeleteEventTypeRequest, _: Context
    ) -> pb.DeleteEventTypeResponse:
        """Remove a type of the workspace's own."""
        required(self._webhook_service)
        workspace_id, name = current_workspace(), check_custom_name("name", request.name)
        by = current_actor()
        await self._database.run(lambda unit: delete_event_type(with_webhooks(unit), workspace_id, name, by=by))
        return pb.DeleteEventTypeResponse()
