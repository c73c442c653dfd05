"""WebhookService, sixth part: how relay, sweep, workers and Redis do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noteflow_hooks.rpc.messages.system import part_message
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.rpc.services.host import required

if TYPE_CHECKING:
    from noteflow_hooks.rpc.runtime.calls import Context
    from noteflow_hooks.rpc.services.host import ServicerHost


class SystemMixin:
    """The RPC about the system, for a host that has what :class:`ServicerHost` names."""

    async def GetSystemState(
        self: ServicerHost, _request: pb.GetSystemStateRequest, _: Context
    ) -> pb.GetSystemStateResponse:
        """Return how the system's parts do."""
        required(self._webhook_service)
        return pb.GetSystemStateResponse(parts=map(part_message, await self._system.parts()))
