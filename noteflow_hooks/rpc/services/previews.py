"""WebhookService: what would be sent. These RPCs change nothing and send nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from noteflow_hooks.application.previews import preview_payload
from noteflow_hooks.domain.violations import check_all
from noteflow_hooks.rpc.interceptors.auth import current_workspace
from noteflow_hooks.rpc.messages.convert import preview_message
from noteflow_hooks.rpc.messages.parse import parse_id, parse_target
from noteflow_hooks.rpc.services.host import required, with_webhooks

if TYPE_CHECKING:
    from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
    from noteflow_hooks.rpc.runtime.calls import Context
    from noteflow_hooks.rpc.services.host import ServicerHost


class PreviewMixin:
    """The RPCs that show what would be sent, for a host that has what :class:`ServicerHost` names."""

    async def PreviewPayload(
        self: ServicerHost, request: pb.PreviewPayloadRequest, _: Context
    ) -> pb.PreviewPayloadResponse:
        """Return the request that would be made of an event."""
        required(self._webhook_service)
        workspace_id, previewer = current_workspace(), self._endpoints.previewer
        event_id, target = check_all(lambda: parse_id("event_id", request.event_id), lambda: parse_target(request))
        view = await self._database.run(
            lambda unit: preview_payload(
                with_webhooks(unit), workspace_id, event_id, target, previewer=previewer, now=datetime.now(UTC)
            )
        )
        return preview_message(view)
