"""WebhookService, fourth part: who calls. It works while webhooks are switched off, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noteflow_hooks.application.access import read_workspace
from noteflow_hooks.rpc.interceptors.auth import current_caller
from noteflow_hooks.rpc.services.caller_told import caller_message

if TYPE_CHECKING:
    from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
    from noteflow_hooks.rpc.runtime.calls import Context
    from noteflow_hooks.rpc.services.host import ServicerHost


class CallerMixin:
    """The RPC about the caller, for a host that has what :class:`ServicerHost` names."""

    async def WhoAmI(self: ServicerHost, _request: pb.WhoAmIRequest, _: Context) -> pb.WhoAmIResponse:
        """Return the caller's workspace, token and limits."""
        caller = current_caller()
        workspace = await self._database.run(lambda unit: read_workspace(unit, caller.workspace_id))
        return caller_message(workspace, caller, self._limits, webhooks_enabled=self._webhook_service is not None)
