"""WebhookService, third part: sending many deliveries again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noteflow_hooks.application.replays import begin_replay, cancel_replay, list_replays, read_replay
from noteflow_hooks.domain.deliveries import FINAL_STATUSES
from noteflow_hooks.domain.replays import DEFAULT_RATE_PER_S, Replay, check_rate
from noteflow_hooks.domain.violations import check_all
from noteflow_hooks.rpc.interceptors.auth import current_actor, current_workspace
from noteflow_hooks.rpc.messages.convert import replay_message
from noteflow_hooks.rpc.messages.pages import fill_counted, parse_page
from noteflow_hooks.rpc.messages.parse import parse_id, parse_narrowed_filter
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.rpc.services.host import required, with_webhooks

if TYPE_CHECKING:
    from noteflow_hooks.rpc.runtime.calls import Context
    from noteflow_hooks.rpc.services.host import ServicerHost


class ReplayMixin:
    """The RPCs about replays, for a host that has what :class:`ServicerHost` names."""

    async def ReplayDeliveries(self: ServicerHost, request: pb.ReplayDeliveriesRequest, _: Context) -> pb.Replay:
        """Begin a replay, or count what it would send again."""
        required(self._webhook_service)
        criteria, rate_per_s = check_all(
            lambda: parse_narrowed_filter(request, statuses=FINAL_STATUSES),
            lambda: check_rate(request.rate_per_s) if request.HasField("rate_per_s") else DEFAULT_RATE_PER_S,
        )
        asked = Replay.create(
            current_workspace(), criteria, rate_per_s=rate_per_s, include_filtered=request.include_filtered
        )
        by = current_actor()
        replay = await self._database.run(
            lambda unit: begin_replay(with_webhooks(unit), asked, by=by, dry_run=request.dry_run)
        )
        return replay_message(replay, dry_run=request.dry_run)

    async def GetReplay(self: ServicerHost, request: pb.GetReplayRequest, _: Context) -> pb.Replay:
        """Return one replay, as far as it has come."""
        required(self._webhook_service)
        workspace_id, replay_id = current_workspace(), parse_id("replay_id", request.replay_id)
        return replay_message(
            await self._database.run(lambda unit: read_replay(with_webhooks(unit), workspace_id, replay_id))
        )

    async def ListReplays(self: ServicerHost, request: pb.ListReplaysRequest, _: Context) -> pb.ListReplaysResponse:
        """Return a page of the workspace's replays."""
        required(self._webhook_service)
        workspace_id, page = current_workspace(), parse_page(request)
        # Converted in there too, where others have their turns: for 500 rows that takes tens of milliseconds.
        replays, token, total = await self._database.run(
            lambda unit: fill_counted(page, list_replays(with_webhooks(unit), workspace_id, page), replay_message),
            is_large=True,
        )
        return pb.ListReplaysResponse(replays=replays, next_page_token=token, total=total)

    async def CancelReplay(self: ServicerHost, request: pb.CancelReplayRequest, _: Context) -> pb.Replay:
        """End a running replay."""
        required(self._webhook_service)
        workspace_id, replay_id = current_workspace(), parse_id("replay_id", request.replay_id)
        by = current_actor()
        return replay_message(
            await self._database.run(lambda unit: cancel_replay(with_webhooks(unit), workspace_id, replay_id, by=by))
        )
