"""What one caller may ask for: calls a second, calls and streams open at once, registrations a minute.

A call over a limit is refused with RESOURCE_EXHAUSTED, which limit it was, and when to try again. Where the call's
metadata is enough to decide, that comes before its message is read.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.application.events import EVENTS_LIMIT
from noteflow_hooks.errors import RateLimitError
from noteflow_hooks.rpc.interceptors.counting import OWN, Counting
from noteflow_hooks.rpc.interceptors.errors import OURS
from noteflow_hooks.rpc.interceptors.scopes import WATCHES

if TYPE_CHECKING:
    from uuid import UUID

    from noteflow_hooks.domain.access import ApiToken
    from noteflow_hooks.rpc.interceptors.open_calls import AtEnd

_UPDATE: Final = f"{OURS}WebhookService/UpdateWebhook"
#: The calls that look a name up or have something sent: each makes work for other machines.
_REGISTRATIONS: Final = frozenset(
    {f"{OURS}WebhookService/{name}" for name in ("RegisterWebhook", "TestWebhook", "VerifyWebhook")} | {_UPDATE}
)
#: The calls that count as many as their message holds; what comes after a batch waits until it is made up for.
MANY: Final = frozenset({f"{OURS}EventService/PublishEvents"})
#: The calls of which only the request tells how they count.
COUNTED_BY_REQUEST: Final = MANY | _REGISTRATIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerLimits:
    """How much a server, or several on one port together, does for one caller, which is a workspace or a token."""

    #: RegisterWebhook, TestWebhook, VerifyWebhook, and UpdateWebhook with a url, together, for a workspace; as many at
    #: once. 0 is no limit.
    registrations_per_minute: int = 60
    #: All calls of our services, for a token; twice as many at once. 0 is no limit.
    token_calls_per_s: int = 2000
    #: Open streams, for a workspace.
    streams_per_workspace: int = 200
    #: Open watches, for a workspace.
    watches_per_workspace: int = 20
    #: Open calls of any kind, for a workspace: twice what one connection can have.
    calls_per_workspace: int = 2000
    #: Open calls of one method of a service that needs no token: of this machine, and as many of all others together.
    calls_without_token: int = 500
    #: The same, of one address of another machine.
    calls_of_a_stranger: int = 50
    #: How many such calls an address may begin in a second; twice as many at once. 0 is no limit.
    calls_of_a_stranger_per_s: int = 50
    #: How long a unary call may take, whatever deadline its caller sets. TestWebhook takes longest: it may wait for
    #: 60 s, and for a busy database before and after.
    longest_call: timedelta = timedelta(seconds=120)
    #: The same for a unary call without a token, which is a health check.
    longest_call_without_token: timedelta = timedelta(seconds=10)


class Limits:
    """Counts calls, by whose they are and what they ask for."""

    def __init__(self, limits: CallerLimits, counting: Counting = OWN) -> None:
        self._limits = limits
        self._rates = counting.buckets("tokens", limits.token_calls_per_s, burst=2 * limits.token_calls_per_s)
        self._calls = counting.open_calls("calls", "calls", most=limits.calls_per_workspace)
        self._streams = counting.open_calls("streams", "streams", most=limits.streams_per_workspace)
        self._watches = counting.open_calls("watches", "watches", most=limits.watches_per_workspace)
        self._most = limits.registrations_per_minute
        self._registrations = counting.buckets("registrations", self._most / 60, burst=self._most)

    def admit(self, caller: ApiToken, method: str, *, is_stream: bool, at_end: AtEnd) -> None:
        """Let a call in by its metadata, counted until its end; raise LimitError."""
        if method not in MANY:
            self._take(caller, 1)
        if method in WATCHES:
            self._watches.enter(caller.workspace_id, at_end=at_end)
        if is_stream:
            self._streams.enter(caller.workspace_id, at_end=at_end)
        self._calls.enter(caller.workspace_id, at_end=at_end)

    def admit_request(self, caller: ApiToken, method: str, request: Any) -> None:  # noqa: ANN401 - any RPC's message
        """Let in what only the request tells; raise LimitError."""
        if method in MANY:
            self._take(caller, min(max(1, len(request.requests)), EVENTS_LIMIT))
        if method in _REGISTRATIONS and (method != _UPDATE or "url" in request.update_mask.paths):
            self._count_registration(caller.workspace_id)

    def _take(self, caller: ApiToken, count: int) -> None:
        if wait_s := self._rates.take(caller.id, count):
            raise too_often(f"{self._limits.token_calls_per_s} calls a second with one token", wait_s)

    def _count_registration(self, workspace_id: UUID) -> None:
        if wait_s := self._registrations.take(workspace_id):
            raise too_often(f"{self._most} registrations, new URLs and tests a minute in one workspace", wait_s)


def too_often(limit: str, wait_s: float) -> RateLimitError:
    """Return the error for a limit on how often something may be done."""
    # In whole milliseconds, rounded up: a caller that waits exactly so long is let in.
    wait = timedelta(milliseconds=math.ceil(wait_s * 1000))
    return RateLimitError(f"at most {limit}; try again in {wait.total_seconds():g} s", retry_after=wait)
