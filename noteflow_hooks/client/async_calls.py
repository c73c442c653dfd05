"""What each call of asyncio's gets on its way: the same as of a blocking one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc

from noteflow_hooks.client.calls import Manner, Prepared

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator


class AsyncCalls:
    """A channel of asyncio's, as stubs take one."""

    def __init__(self, channel: grpc.aio.Channel, manner: Manner) -> None:
        self._channel = channel
        self._manner = manner

    def unary_unary(self, method: str, *codec: Any, **more: Any) -> AsyncUnary:  # noqa: ANN401 - passed on as it is
        """Return a method that takes a message and gives one."""
        call = self._channel.unary_unary(method, *codec, **more)
        return AsyncUnary(call, self._manner, key=self._manner.keyer(method))

    def unary_stream(self, method: str, *codec: Any, **more: Any) -> AsyncStreaming:  # noqa: ANN401 - as above
        """Return a method that takes a message and gives many."""
        return AsyncStreaming(self._channel.unary_stream(method, *codec, **more), self._manner, is_stream=True)

    def stream_unary(self, method: str, *codec: Any, **more: Any) -> AsyncUnary:  # noqa: ANN401 - as above
        """Return a method that takes many messages and gives one."""
        return AsyncUnary(self._channel.stream_unary(method, *codec, **more), self._manner, is_stream=True)


class AsyncUnary(Prepared):
    """A method that gives one message; gRPC's own, but for what :class:`Prepared` gives and for the errors."""

    __slots__ = ()

    def __call__(self, request: object = None, timeout: float | None = None, **more: Any) -> Awaited:  # noqa: ANN401 - as gRPC has it
        """Call, and return what is awaited; without a request, a stream's messages are written to it."""
        return Awaited(self.started(self._call, request, timeout, more), self._manner)


class AsyncStreaming(Prepared):
    """A method that gives many messages."""

    __slots__ = ()

    def __call__(self, request: object, timeout: float | None = None, **more: Any) -> AsyncStream:  # noqa: ANN401 - as above
        """Call, and return what yields the messages."""
        return AsyncStream(self.started(self._call, request, timeout, more), self._manner)


class Awaited:
    """A call under way: gRPC's own, but for the errors."""

    def __init__(self, call: Any, manner: Manner) -> None:  # noqa: ANN401 - a call, whose kinds have no common type
        self._call = call
        self._manner = manner

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a call has
        return getattr(self._call, name)

    def __await__(self) -> Generator[Any, Any, Any]:
        try:
            return (yield from self._call.__await__())
        except grpc.RpcError as error:
            raise self._manner.translated(error) from error


class AsyncStream:
    """A stream of answers: gRPC's own, but for the errors."""

    def __init__(self, call: Any, manner: Manner) -> None:  # noqa: ANN401 - as above
        self._call = call
        self._manner = manner

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as above
        return getattr(self._call, name)

    def __aiter__(self) -> AsyncIterator[Any]:
        self._messages = aiter(self._call)
        return self

    async def __anext__(self) -> Any:  # noqa: ANN401 - any RPC's message
        try:
            return await anext(self._messages)
        except grpc.RpcError as error:
            raise self._manner.translated(error) from error

    async def read(self) -> Any:  # noqa: ANN401 - any RPC's message, or gRPC's end of a stream
        """Return the next message, or ``grpc.aio.EOF``."""
        try:
            return await self._call.read()
        except grpc.RpcError as error:
            raise self._manner.translated(error) from error
