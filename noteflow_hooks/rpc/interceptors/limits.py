"""What one caller may ask for: calls a second, calls and streams open at once, registrations a minute.

A call over a limit is refused with RESOURCE_EXHAUSTED, which limit it was, and when to try again. Where the call's
metadata is enough to decide, that comes before its message is read.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import grpc

from noteflow_hooks.errors import LimitError, RateLimitError, UnavailableError
from noteflow_hooks.rpc.interceptors.auth import current_token, current_workspace
from noteflow_hooks.rpc.interceptors.counting import OWN, Counting
from noteflow_hooks.rpc.interceptors.errors import OURS, refusing
from noteflow_hooks.rpc.interceptors.open_calls import cancel_call_after

if TYPE_CHECKING:
    from noteflow_hooks.rpc.runtime.calls import Context, Continuation, Handler

_UPDATE: Final = f"{OURS}WebhookService/UpdateWebhook"
#: The calls that look a name up or have something sent: each makes work for other machines.
_REGISTRATIONS: Final = frozenset(
    {f"{OURS}WebhookService/RegisterWebhook", f"{OURS}WebhookService/TestWebhook", _UPDATE}
)
#: So much longer than ``longest_call`` a call may take before it is cancelled. By then it should have been answered, so
#: its message never came, or its answer is not taken.
LATER_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerLimits:
    """How much a server, or several on one port together, does for one caller, which is a workspace or a token."""

    #: RegisterWebhook, TestWebhook, and UpdateWebhook with a url, together, for a workspace; as many at once.
    #: 0 is no limit.
    registrations_per_minute: int = 60
    #: All calls of our services, for a token; twice as many at once. 0 is no limit.
    token_calls_per_s: int = 2000
    #: Open streams, for a workspace.
    streams_per_workspace: int = 200
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


class LimitInterceptor(grpc.aio.ServerInterceptor):
    """Counts calls by their metadata. It stands behind the interceptor that finds out who calls."""

    def __init__(self, limits: CallerLimits, counting: Counting = OWN) -> None:
        self._limits = limits
        self._rates = counting.buckets("tokens", limits.token_calls_per_s, burst=2 * limits.token_calls_per_s)
        self._calls = counting.open_calls("calls", "calls", most=limits.calls_per_workspace)
        self._streams = counting.open_calls("streams", "streams", most=limits.streams_per_workspace)

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Let the call through, counted until it is over, or refuse it."""
        handler = await continuation(handler_call_details)
        if handler is None or not handler_call_details.method.startswith(OURS):
            return handler
        try:
            self._admit(handler)
        except LimitError as error:
            return refusing(error)
        return handler

    def _admit(self, handler: Handler) -> None:
        limits, streams = self._limits, handler.request_streaming or handler.response_streaming
        if wait_s := self._rates.take(current_token()):
            raise too_often(f"{limits.token_calls_per_s} calls a second with one token", wait_s)
        if streams:
            self._streams.enter(current_workspace())
        self._calls.enter(current_workspace())
        if not streams:
            cancel_call_after(limits.longest_call.total_seconds() + LATER_S)


class WorkInterceptor(grpc.aio.ServerInterceptor):
    """Counts registrations, and ends unary calls that take too long. It stands last, where requests can be read."""

    def __init__(self, limits: CallerLimits, counting: Counting = OWN) -> None:
        self._most = limits.registrations_per_minute
        self._longest_s = limits.longest_call.total_seconds()
        self._registrations = counting.buckets("registrations", self._most / 60, burst=self._most)

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Wrap the unary handlers of our services."""
        handler, method = await continuation(handler_call_details), handler_call_details.method
        if handler is None or handler.unary_unary is None or not method.startswith(OURS):
            return handler
        return grpc.unary_unary_rpc_method_handler(
            partial(self._answer, handler.unary_unary, method),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    async def _answer(self, behavior: Any, method: str, request: Any, context: Context) -> Any:  # noqa: ANN401 - any RPC's
        if method in _REGISTRATIONS and (method != _UPDATE or "url" in request.update_mask.paths):
            self._count_registration()
        limit = asyncio.timeout(self._longest_s)
        try:
            async with limit:
                return await behavior(request, context)
        except TimeoutError:
            if not limit.expired():
                raise
            raise UnavailableError(f"the call was given up after {self._longest_s:g} s; try again") from None

    def _count_registration(self) -> None:
        if wait_s := self._registrations.take(current_workspace()):
            raise too_often(f"{self._most} registrations, new URLs and tests a minute in one workspace", wait_s)


def too_often(limit: str, wait_s: float) -> RateLimitError:
    """Return the error for a limit on how often something may be done."""
    # In whole milliseconds, rounded up: a caller that waits exactly so long is let in.
    wait = timedelta(milliseconds=math.ceil(wait_s * 1000))
    return RateLimitError(f"at most {limit}; try again in {wait.total_seconds():g} s", retry_after=wait)
