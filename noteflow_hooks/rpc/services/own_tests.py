"""The event that a test sends in place of the usual one, checked like one that is published."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noteflow_hooks.application.events import accepted
from noteflow_hooks.domain.events import is_custom
from noteflow_hooks.errors import InvalidInputError
from noteflow_hooks.rpc.messages.parse import parse_event
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.rpc.runtime.aside import aside
from noteflow_hooks.rpc.services.batch import parse_own

if TYPE_CHECKING:
    from uuid import UUID

    from noteflow_hooks.domain.events import Event
    from noteflow_hooks.rpc.services.host import ServicerHost


async def own_test_event(host: ServicerHost, request: pb.TestWebhookRequest, *, workspace_id: UUID) -> Event | None:
    """Return the event, None for the usual one; raise InvalidInputError that names the fields which are wrong."""
    has_type, has_payload = request.HasField("event_type"), request.HasField("payload_json")
    if has_type != has_payload:
        missing = "payload_json" if has_type else "event_type"
        raise InvalidInputError(missing, "is needed: event_type and payload_json go together")
    if not has_type:
        return None
    published = pb.PublishEventRequest(event_type=request.event_type, payload_json=request.payload_json)
    if not is_custom(request.event_type):
        return await aside(request, lambda: parse_event(published, workspace_id=workspace_id))
    database, schemas = host._database, host._schemas  # noqa: SLF001 - the servicer's own parts
    [made] = await parse_own([published], database, schemas, workspace_id=workspace_id)
    return accepted(made)
