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
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from uuid import UUID

import grpc

from noteflow_hooks.errors import LimitError, RateLimitError, UnavailableError
from noteflow_hooks.rpc.interceptors.auth import current_token, current_workspace
from noteflow_hooks.rpc.interceptors.buckets import Buckets
from noteflow_hooks.rpc.interceptors.errors import OURS, refusing

if TYPE_CHECKING:
    from noteflow_hooks.rpc.runtime.calls import Context, Continuation, Handler

#: By what open calls are counted: the caller's workspace, or the method where no token is needed.
Key: TypeAlias = UUID | str

_UPDATE: Final = f"{OURS}WebhookService/UpdateWebhook"
#: The calls that look a name up or have something sent: each makes work for other machines.
_REGISTRATIONS: Final = frozenset(
    {f"{OURS}WebhookService/RegisterWebhook", f"{OURS}WebhookService/TestWebhook", _UPDATE}
)
#: So much longer than ``longest_call`` a call may take before it is cancelled. By then it should have been answered, so
#: its message never came, or its answer is not taken.
_LATER_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerLimits:
    """How much one server does for one caller, which is a workspace or a token."""

    #: RegisterWebhook, TestWebhook, and UpdateWebhook with a url, together, for a workspace; as many at once.
    #: 0 is no limit.
    registrations_per_minute: int = 60
    #: All calls of our services, for a token; twice as many at once. 0 is no limit.
    token_calls_per_s: int = 2000
    #: Open streams, for a workspace.
    streams_per_workspace: int = 200
    #: Open calls of any kind, for a workspace: twice what one connection can have.
    calls_per_workspace: int = 2000
    #: Open calls of one method of a service that needs no token, of all callers together.
    calls_without_token: int = 500
    #: How long a unary call may take, whatever deadline its caller sets. TestWebhook takes longest: it may wait for
    #: 60 s, and for a busy database before and after.
    longest_call: timedelta = timedelta(seconds=120)
    #: The same for a unary call without a token, which is a health check.
    longest_call_without_token: timedelta = timedelta(seconds=10)


class LimitInterceptor(grpc.aio.ServerInterceptor):
    """Counts calls by their metadata. It stands behind the interceptor that finds out who calls."""

    def __init__(self, limits: CallerLimits) -> None:
        self._limits = limits
        self._rates = Buckets(limits.token_calls_per_s, burst=2 * limits.token_calls_per_s)
        self._calls = _OpenCalls("calls", most=limits.calls_per_workspace)
        self._streams = _OpenCalls("streams", most=limits.streams_per_workspace)
        self._without_token = _OpenCalls("calls of this method", most=limits.calls_without_token)

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Let the call through, counted until it is over, or refuse it."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        try:
            self._admit(handler_call_details.method, handler)
        except LimitError as error:
            return refusing(error)
        return handler

    def _admit(self, method: str, handler: Handler) -> None:
        limits, streams = self._limits, handler.request_streaming or handler.response_streaming
        if method.startswith(OURS):
            if wait_s := self._rates.take(current_token()):
                raise too_often(f"{limits.token_calls_per_s} calls a second with one token", wait_s)
            if streams:
                self._streams.enter(current_workspace())
            self._calls.enter(current_workspace())
            longest = limits.longest_call
        else:
            self._without_token.enter(method)
            longest = limits.longest_call_without_token
        if not streams:
            _cancel_call_after(longest.total_seconds() + _LATER_S)


class WorkInterceptor(grpc.aio.ServerInterceptor):
    """Counts registrations, and ends unary calls that take too long. It stands last, where requests can be read."""

    def __init__(self, limits: CallerLimits) -> None:
        self._most = limits.registrations_per_minute
        self._longest_s = limits.longest_call.total_seconds()
        self._registrations = Buckets(self._most / 60, burst=self._most)

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


class _OpenCalls:
    """How many calls are open, by key."""

    def __init__(self, kind: str, *, most: int) -> None:
        self._kind = kind
        self._most = most
        self._open: dict[Key, int] = {}

    def enter(self, key: Key) -> None:
        """Count the running task until it ends; raise LimitError where as many are open as may be."""
        count = self._open.get(key, 0)
        if count >= self._most:
            raise LimitError(f"at most {self._most} {self._kind} may be open at once, and they are; end some first")
        self._open[key] = count + 1
        _current_task().add_done_callback(partial(self._leave, key))

    def _leave(self, key: Key, _: asyncio.Task[Any]) -> None:
        count = self._open.pop(key)
        if count > 1:
            self._open[key] = count - 1


def _cancel_call_after(seconds: float) -> None:
    """Cancel the running task after so long: its message may never come, or its answer never be taken."""
    task = _current_task()
    timer = asyncio.get_running_loop().call_later(seconds, task.cancel)
    task.add_done_callback(lambda _: timer.cancel())


def _current_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("calls are answered in tasks")
    return task


def too_often(limit: str, wait_s: float) -> RateLimitError:
    """Return the error for a limit on how often something may be done."""
    # In whole milliseconds, rounded up: a caller that waits exactly so long is let in.
    wait = timedelta(milliseconds=math.ceil(wait_s * 1000))
    return RateLimitError(f"at most {limit}; try again in {wait.total_seconds():g} s", retry_after=wait)
