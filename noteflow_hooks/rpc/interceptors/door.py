"""The way in: what a call passes through before its RPC, in one step for a good call of a caller who is known already.

The token, its scope, how many calls there may be, and a permit to read the message: none of it waits for anything, but
where a token must be looked up or a permit be waited for. Then the message is read, the RPC answers, and its errors
become answers.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

import grpc

from noteflow_hooks.errors import ScopeError, UnauthenticatedError, UnavailableError
from noteflow_hooks.rpc.interceptors.auth import bearer, check_scope, current_call, enter_call, is_known
from noteflow_hooks.rpc.interceptors.call import Call
from noteflow_hooks.rpc.interceptors.counting import OWN, Counting
from noteflow_hooks.rpc.interceptors.errors import (
    OURS,
    READ_ASIDE_BYTES,
    answering_stream,
    bounded_bytes,
    read,
    read_now,
    refuse,
    refusing,
)
from noteflow_hooks.rpc.interceptors.expiry import Expiry
from noteflow_hooks.rpc.interceptors.limits import COUNTED_BY_REQUEST, Limits
from noteflow_hooks.rpc.interceptors.scopes import LISTS, WATCHES
from noteflow_hooks.rpc.interceptors.tokens import REFUSAL
from noteflow_hooks.rpc.runtime.aside import LARGE_BYTES
from noteflow_hooks.rpc.runtime.fair_queue import TOKENS, Lane, enter_lane
from noteflow_hooks.telemetry.counting import count
from noteflow_hooks.telemetry.metrics import TOKENS_REFUSED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from noteflow_hooks.domain.access import ApiToken
    from noteflow_hooks.rpc.interceptors.limits import CallerLimits
    from noteflow_hooks.rpc.interceptors.reading import ReadBudget
    from noteflow_hooks.rpc.interceptors.tokens import TokenCache
    from noteflow_hooks.rpc.runtime.calls import Context, Continuation, Handler


class DoorInterceptor(grpc.aio.ServerInterceptor):
    """Lets calls in that have a good token and are within their limits, and refuses all others, whatever they name."""

    def __init__(
        self,
        tokens: TokenCache,
        reads: ReadBudget,
        limits: CallerLimits,
        *,
        open_services: Iterable[str],
        counting: Counting = OWN,
    ) -> None:
        """``open_services`` need no token; what is asked of them goes on to the interceptors behind this one.

        ``counting`` is where the limits are counted.
        """
        self._tokens = tokens
        self._reads = reads
        self._limits = Limits(limits, counting)
        self._longest_s: Final = limits.longest_call.total_seconds()
        self._expiry = Expiry(self._longest_s)
        self._open = tuple(f"/{service}/" for service in open_services)
        #: What answers each of our RPCs: made once, since gRPC would look for it in each call anew.
        self._handlers: dict[str, Handler] = {}

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Let the call in and return what answers it, or refuse it."""
        method = handler_call_details.method
        if method.startswith(self._open):
            return await continuation(handler_call_details)
        try:
            call = Call(await self._caller_of(handler_call_details), method)
            check_scope(call.caller, method)
            enter_call(call)
            enter_lane(Lane(call.caller.workspace_id, is_list=method in LISTS or method in WATCHES))
            handler = self._handlers.get(method) or await self._find_handler(continuation, handler_call_details)
            if handler is not None and method in self._handlers:
                await self._admit(call, is_stream=handler.request_streaming)
        except Exception as error:  # noqa: BLE001 - the boundary: it becomes the call's answer
            if isinstance(error, ScopeError):
                count(TOKENS_REFUSED, "scope")
            return refusing(error)
        return handler

    async def _caller_of(self, details: grpc.HandlerCallDetails) -> ApiToken:
        token = bearer(details.invocation_metadata or ())
        if token is not None:
            if (known := self._tokens.remembered(token)) is not None:
                return known
            enter_lane(TOKENS)
            if (found := await self._tokens.find(token)) is not None:
                return found
        count(TOKENS_REFUSED, "missing" if token is None else "unknown")
        raise UnauthenticatedError(REFUSAL)

    async def _find_handler(self, continuation: Continuation, details: grpc.HandlerCallDetails) -> Handler | None:
        # A method of ours that is missing in the table of scopes is served to nobody, rather than to everybody.
        method, handler = details.method, await continuation(details)
        if handler is None or not is_known(method):
            return None if method.startswith(OURS) else handler
        made = self._handlers[method] = self._wrapped(handler, method)
        return made

    async def _admit(self, call: Call, *, is_stream: bool) -> None:
        """Count the call and let a unary one wait for its turn to be read; raise LimitError."""
        self._limits.admit(call.caller, call.method, is_stream=is_stream, at_end=call.at_end)
        if not is_stream:
            call.begin(self._expiry, self._reads)
            key = call.caller.workspace_id
            call.permit = self._reads.take_now(key, give_up=call.end) or await self._reads.take(key, give_up=call.end)

    def _wrapped(self, handler: Handler, method: str) -> Handler:
        """Return a handler from bytes to bytes: messages are read and written where their errors have answers."""
        if handler.request_streaming:
            return grpc.stream_unary_rpc_method_handler(
                answering_stream(handler.stream_unary, handler.request_deserializer), bounded_bytes
            )
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(_telling(handler))
        return grpc.unary_unary_rpc_method_handler(self._answering(handler, method))

    def _answering(self, handler: Handler, method: str) -> Any:  # noqa: ANN401 - grpc's handlers have no common type
        behavior: Any = handler.unary_unary
        deserialize: Any = handler.request_deserializer
        is_list, is_counted = method in LISTS, method in COUNTED_BY_REQUEST

        async def answer(data: bytes, context: Context) -> bytes:
            call = current_call()
            call.came(len(data), is_list=is_list)
            try:
                request = await read(data, deserialize) if len(data) > READ_ASIDE_BYTES else read_now(data, deserialize)
                if is_counted:
                    self._limits.admit_request(call.caller, method, request)
                response = await behavior(request, context)
                # A large answer is written in a thread.
                is_large = response.ByteSize() > LARGE_BYTES
                write: Callable[[], bytes] = response.SerializeToString
                return await asyncio.to_thread(write) if is_large else write()
            except asyncio.CancelledError:
                if not call.is_late:
                    raise
                call.forgive()
                await refuse(context, self._late())
            except Exception as error:  # noqa: BLE001 - the boundary: every error becomes an answer here
                await refuse(context, error)

        return answer

    def _late(self) -> UnavailableError:
        return UnavailableError(f"the call was given up after {self._longest_s:g} s; try again")


def _telling(handler: Handler) -> Any:  # noqa: ANN401 - grpc's handlers have no common type
    """Return what answers one message with a stream, which may take any time."""
    behavior: Any = handler.unary_stream
    deserialize: Any = handler.request_deserializer

    async def tell(data: bytes, context: Context) -> None:
        current_call().endure()
        try:
            # Written here and closed here: gRPC would leave it to the garbage collector when its caller has gone.
            async with aclosing(behavior(await read(data, deserialize), context)) as responses:
                async for response in responses:
                    await context.write(response.SerializeToString())
        except Exception as error:  # noqa: BLE001 - the boundary: every error becomes an answer here
            await refuse(context, error)

    return tell
