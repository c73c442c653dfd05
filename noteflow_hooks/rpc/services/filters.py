"""WebhookService, fourth part: what a filter would do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from noteflow_hooks.application.filters import check_preview, newest_events, preview
from noteflow_hooks.domain.violations import check_all
from noteflow_hooks.rpc.interceptors.auth import current_workspace
from noteflow_hooks.rpc.messages.convert import filter_preview_message
from noteflow_hooks.rpc.messages.parse import optional, parse_id
from noteflow_hooks.rpc.services.host import required, with_webhooks

if TYPE_CHECKING:
    from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
    from noteflow_hooks.rpc.runtime.calls import Context
    from noteflow_hooks.rpc.services.host import ServicerHost


class FilterMixin:
    """The RPC about filters, for a host that has what :class:`ServicerHost` names."""

    async def PreviewFilter(
        self: ServicerHost, request: pb.PreviewFilterRequest, _: Context
    ) -> pb.PreviewFilterResponse:
        """Ask a filter about the newest stored events."""
        required(self._webhook_service)
        workspace_id, filters = current_workspace(), self._endpoints.filters
        (text, count), webhook_id = await asyncio.to_thread(
            lambda: check_all(
                lambda: check_preview(request.filter, optional(request, "last_n"), filters=filters),
                lambda: parse_id("webhook_id", request.webhook_id) if request.webhook_id else None,
            )
        )
        events = await self._database.run(
            lambda unit: newest_events(with_webhooks(unit), workspace_id, webhook_id, limit=count)
        )
        return filter_preview_message(await asyncio.to_thread(preview, text, events, filters=filters))
