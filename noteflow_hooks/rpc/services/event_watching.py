"""EventService, third part: events as they are stored."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from noteflow_hooks.rpc.interceptors.auth import current_token, current_workspace
from noteflow_hooks.rpc.messages.event_watching import event_watch_message, parse_event_watch
from noteflow_hooks.rpc.services.host import required

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
    from noteflow_hooks.rpc.runtime.calls import Context
    from noteflow_hooks.rpc.services.host import ServicerHost


class EventWatchMixin:
    """The RPC that tells of events, for a host that has what :class:`ServicerHost` names."""

    async def WatchEvents(
        self: ServicerHost, request: pb.WatchEventsRequest, _: Context
    ) -> AsyncGenerator[pb.WatchEventsResponse]:
        """Tell of events as they are stored, until the caller or the server ends it."""
        required(self._webhook_service)
        workspace_id, token_id = current_workspace(), current_token()
        criteria, start = parse_event_watch(request)
        following = self._event_watches.follow(workspace_id, criteria, token_id=token_id, start=start)
        async with aclosing(following) as notices:
            async for each in notices:
                yield event_watch_message(each.event, at=each.at, missed=each.missed)
