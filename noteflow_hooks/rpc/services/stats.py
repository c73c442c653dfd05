"""WebhookService, sixth part: how much there was, and what became of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from noteflow_hooks.application.stats import read_stats
from noteflow_hooks.rpc.interceptors.auth import current_workspace
from noteflow_hooks.rpc.messages.stats import parse_stats, stats_message
from noteflow_hooks.rpc.services.host import required, with_webhooks

if TYPE_CHECKING:
    from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
    from noteflow_hooks.rpc.runtime.calls import Context
    from noteflow_hooks.rpc.services.host import ServicerHost


class StatsMixin:
    """The RPC about figures, for a host that has what :class:`ServicerHost` names."""

    async def GetStats(self: ServicerHost, request: pb.GetStatsRequest, _: Context) -> pb.GetStatsResponse:
        """Return what was counted in a span, and how it stands now."""
        required(self._webhook_service)
        workspace_id, query = current_workspace(), parse_stats(request, now=datetime.now(UTC))
        # Converted in there too, where others have their turns: a thousand points take tens of milliseconds.
        return await self._database.run(
            lambda unit: stats_message(read_stats(with_webhooks(unit), workspace_id, query)), is_large=True
        )
