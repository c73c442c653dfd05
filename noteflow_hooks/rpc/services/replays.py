"""WebhookService, third part: sending many deliveries again. A call begins a replay, and the workers take its steps."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from noteflow_hooks.domain.deliveries import FINAL_STATUSES
from noteflow_hooks.domain.replays import DEFAULT_RATE_PER_S, Replay, check_enabled
from noteflow_hooks.errors import NotFoundError
from noteflow_hooks.rpc.interceptors.auth import current_workspace
from noteflow_hooks.rpc.messages.convert import replay_message
from noteflow_hooks.rpc.messages.pages import fill, parse_page
from noteflow_hooks.rpc.messages.parse import parse_filter, parse_id
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.rpc.services.endpoints import found_webhook
from noteflow_hooks.rpc.services.host import required, with_webhooks

if TYPE_CHECKING:
    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork
    from noteflow_hooks.rpc.runtime.calls import Context
    from noteflow_hooks.rpc.services.host import ServicerHost

log = logging.getLogger(__name__)


class ReplayMixin:
    """The RPCs about replays, for a host that has what :class:`ServicerHost` names."""

    async def ReplayDeliveries(self: ServicerHost, request: pb.ReplayDeliveriesRequest, _: Context) -> pb.Replay:
        """Begin a replay, or count what it would send again."""
        required(self._webhook_service)
        asked = Replay.create(
            current_workspace(),
            parse_filter(request, statuses=FINAL_STATUSES),
            rate_per_s=request.rate_per_s if request.HasField("rate_per_s") else DEFAULT_RATE_PER_S,
        )

        def begin(unit: UnitOfWork) -> Replay:
            replays = with_webhooks(unit).replays
            if asked.criteria.webhook_id is not None:
                check_enabled(found_webhook(unit, asked.workspace_id, asked.criteria.webhook_id))
            return replays.preview(asked) if request.dry_run else replays.create(asked)

        replay = await self._database.run(begin)
        if not request.dry_run:
            log.info("replay %s begins, of %d deliveries", replay.id, replay.matched)
        return replay_message(replay, dry_run=request.dry_run)

    async def GetReplay(self: ServicerHost, request: pb.GetReplayRequest, _: Context) -> pb.Replay:
        """Return one replay, as far as it has come."""
        required(self._webhook_service)
        workspace_id, replay_id = current_workspace(), parse_id("replay_id", request.replay_id)
        replay = await self._database.run(lambda unit: with_webhooks(unit).replays.get(workspace_id, replay_id))
        if replay is None:
            raise NotFoundError(f"replay_id: no replay {replay_id} in this workspace")
        return replay_message(replay)

    async def ListReplays(self: ServicerHost, request: pb.ListReplaysRequest, _: Context) -> pb.ListReplaysResponse:
        """Return a page of the workspace's replays."""
        required(self._webhook_service)
        workspace_id, page = current_workspace(), parse_page(request)
        rows = await self._database.run(
            lambda unit: with_webhooks(unit).replays.list_page(workspace_id, limit=page.limit, after=page.after)
        )
        replays, token = fill(page, rows, replay_message)
        return pb.ListReplaysResponse(replays=replays, next_page_token=token)

    async def CancelReplay(self: ServicerHost, request: pb.CancelReplayRequest, _: Context) -> pb.Replay:
        """End a running replay."""
        required(self._webhook_service)
        workspace_id, replay_id = current_workspace(), parse_id("replay_id", request.replay_id)
        replay = await self._database.run(lambda unit: with_webhooks(unit).replays.cancel(workspace_id, replay_id))
        log.info("replay %s is cancelled", replay_id)
        return replay_message(replay)
