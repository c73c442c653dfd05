"""From a caller's token and limits to what WhoAmI answers. Nothing of it opens anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noteflow_hooks.application.events import EVENTS_LIMIT
from noteflow_hooks.domain.event_types import TYPES_LIMIT
from noteflow_hooks.domain.paging import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, MAX_TOTAL
from noteflow_hooks.domain.payloads import PAYLOAD_LIMIT_BYTES
from noteflow_hooks.domain.replays import RUNNING_LIMIT
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

if TYPE_CHECKING:
    from noteflow_hooks.domain.access import ApiToken, Workspace
    from noteflow_hooks.rpc.interceptors.limits import CallerLimits


def caller_message(
    workspace: Workspace, token: ApiToken, limits: CallerLimits, *, webhooks_enabled: bool
) -> pb.WhoAmIResponse:
    """Return who calls and what it can run into."""
    answer = pb.WhoAmIResponse(
        workspace_id=str(workspace.id),
        workspace_name=workspace.name,
        token_id=str(token.id),
        token_name=token.name,
        token_hint=token.hint,
        scopes=sorted(token.scopes),
        webhooks_enabled=webhooks_enabled,
        limits=_limits(limits),
    )
    if token.expires_at is not None:
        answer.expires_at.FromDatetime(token.expires_at)
    return answer


def _limits(limits: CallerLimits) -> pb.CallerLimits:
    return pb.CallerLimits(
        calls_per_s=limits.token_calls_per_s,
        registrations_per_minute=limits.registrations_per_minute,
        open_calls=limits.calls_per_workspace,
        open_streams=limits.streams_per_workspace,
        open_watches=limits.watches_per_workspace,
        longest_call_seconds=limits.longest_call.total_seconds(),
        default_page_size=DEFAULT_PAGE_SIZE,
        max_page_size=MAX_PAGE_SIZE,
        max_total=MAX_TOTAL,
        events_per_call=EVENTS_LIMIT,
        payload_bytes=PAYLOAD_LIMIT_BYTES,
        running_replays=RUNNING_LIMIT,
        own_event_types=TYPES_LIMIT,
    )
