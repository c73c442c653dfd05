"""WebhookService, fifth part: deliveries as they change."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from noteflow_hooks.application.watching import check_since
from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.violations import check_all
from noteflow_hooks.rpc.interceptors.auth import current_token, current_workspace
from noteflow_hooks.rpc.messages.convert import watch_message
from noteflow_hooks.rpc.messages.parse import optional, parse_narrowed_filter, parse_time
from noteflow_hooks.rpc.services.host import required

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
    from noteflow_hooks.rpc.runtime.calls import Context
    from noteflow_hooks.rpc.services.host import ServicerHost


class WatchMixin:
    """The RPCs that tell of changes, for a host that has what :class:`ServicerHost` names."""

    async def WatchDeliveries(
        self: ServicerHost, request: pb.WatchDeliveriesRequest, _: Context
    ) -> AsyncGenerator[pb.WatchDeliveriesResponse]:
        """Tell of deliveries as they change, until the caller or the server ends it."""
        required(self._webhook_service)
        workspace_id, token_id, now = current_workspace(), current_token(), datetime.now(UTC)
        criteria, throttled, since = check_all(
            lambda: parse_narrowed_filter(request, statuses=frozenset(DeliveryStatus)),
            lambda: optional(request, "held"),
            lambda: check_since(parse_time("since", request.since), now=now) if request.HasField("since") else None,
        )
        criteria = replace(criteria, throttled=throttled)
        async with aclosing(self._watches.follow(workspace_id, criteria, token_id=token_id, since=since)) as notices:
            async for each in notices:
                yield watch_message(each.view, at=each.at, missed=each.missed)
