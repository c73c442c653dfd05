"""Calls that need no token are counted by where they come from: no stranger takes what this machine's probes need.

gRPC tells an interceptor no address; a handler learns it with its context. One that takes a stream of requests gets it
before the first message is read, so each handler here takes one: on the wire a single request is a stream of one.
"""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import grpc

from noteflow_hooks.errors import InvalidInputError, LimitError
from noteflow_hooks.rpc.interceptors.buckets import Buckets
from noteflow_hooks.rpc.interceptors.errors import OURS, refuse
from noteflow_hooks.rpc.interceptors.expiry import LATER_S
from noteflow_hooks.rpc.interceptors.limits import too_often
from noteflow_hooks.rpc.interceptors.open_calls import OpenCalls, cancel_call_after

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from noteflow_hooks.rpc.interceptors.limits import CallerLimits
    from noteflow_hooks.rpc.interceptors.reading import ReadBudget
    from noteflow_hooks.rpc.runtime.calls import Context, Continuation, Handler

#: What stands for this machine in place of an address.
HERE: Final = "this machine"
#: The networks from which only this machine calls.
LOOPBACK: Final = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
#: What one customer of a provider gets: whoever has one address of these has all of them.
_IPV6_PREFIX: Final = 64


class StrangerInterceptor(grpc.aio.ServerInterceptor):
    """Counts the open calls of the services that need no token, and ends unary ones that nobody goes on with."""

    def __init__(self, limits: CallerLimits, reads: ReadBudget) -> None:
        """``reads`` is how many of their messages may be on their way at once."""
        self._limits = limits
        self._reads = reads
        self._here = OpenCalls("calls of this method", most=limits.calls_without_token)
        self._strangers = OpenCalls("calls of this method", most=limits.calls_without_token)
        self._each = OpenCalls("calls of this method from one address", most=limits.calls_of_a_stranger)
        per_s = limits.calls_of_a_stranger_per_s
        self._rates = Buckets(per_s, burst=2 * per_s)

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Wrap the handlers of services that are not ours: of those every call needs a token."""
        handler, method = await continuation(handler_call_details), handler_call_details.method
        if handler is None or method.startswith(OURS):
            return handler
        if handler.stream_stream is not None:
            return self._streaming(handler, method)
        return self._unary(handler, method) if handler.unary_unary is not None else self._watching(handler, method)

    def _unary(self, handler: Handler, method: str) -> Handler:
        behavior: Any = handler.unary_unary

        async def answer(requests: AsyncIterator[Any], context: Context) -> Any:  # noqa: ANN401 - any RPC's messages
            request = await self._admitted(requests, context, method)
            return await behavior(request, context)

        return grpc.stream_unary_rpc_method_handler(answer, handler.request_deserializer, handler.response_serializer)

    def _watching(self, handler: Handler, method: str) -> Handler:
        behavior: Any = handler.unary_stream

        async def answer(requests: AsyncIterator[Any], context: Context) -> None:
            # Health's Watch writes by itself, through the context.
            await behavior(await self._admitted(requests, context, method, is_watch=True), context)

        return grpc.stream_stream_rpc_method_handler(answer, handler.request_deserializer, handler.response_serializer)

    def _streaming(self, handler: Handler, method: str) -> Handler:
        behavior: Any = handler.stream_stream

        async def answers(requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
            address = await self._admit(context, method)
            async for response in behavior(self._by_turns(requests, address), context):
                yield response

        return grpc.stream_stream_rpc_method_handler(answers, handler.request_deserializer, handler.response_serializer)

    async def _by_turns(self, requests: AsyncIterator[Any], address: str) -> AsyncIterator[Any]:
        while True:
            async with self._reads.permit(address):
                request = await anext(requests, None)
            if request is None:
                return
            yield request

    async def _admitted(
        self, requests: AsyncIterator[Any], context: Context, method: str, *, is_watch: bool = False
    ) -> Any:  # noqa: ANN401 - any RPC's message
        """Return the call's only message, or refuse the call."""
        address = await self._admit(context, method)
        if not is_watch:
            cancel_call_after(self._limits.longest_call_without_token.total_seconds() + LATER_S)
        async with self._reads.permit(address):
            request = await anext(requests, None)
        if request is None:
            await refuse(context, InvalidInputError("request", "is missing"))
        return request

    async def _admit(self, context: Context, method: str) -> str:
        """Count the call until it is over, or refuse it; return where it comes from."""
        address = address_of(context.peer())
        try:
            self._count(address, method)
        except LimitError as error:
            await refuse(context, error)
        return address

    def _count(self, address: str, method: str) -> None:
        if address == HERE:
            self._here.enter(method)
            return
        if wait_s := self._rates.take(address):
            raise too_often(f"{self._limits.calls_of_a_stranger_per_s} calls without a token a second", wait_s)
        self._each.enter((address, method))
        self._strangers.enter(method)


def address_of(peer: str) -> str:
    """Return the address behind gRPC's name for a caller, of an IPv6 one its network; :data:`HERE` for this machine."""
    kind, _, rest = peer.partition(":")
    if kind not in ("ipv4", "ipv6"):
        return HERE
    found = ip_address(unquote(rest).rpartition(":")[0].strip("[]").partition("%")[0])
    if isinstance(found, IPv6Address):
        found = found.ipv4_mapped or found
    if any(found in network for network in LOOPBACK):
        return HERE
    return str(IPv6Network((found, _IPV6_PREFIX), strict=False)) if isinstance(found, IPv6Address) else str(found)
