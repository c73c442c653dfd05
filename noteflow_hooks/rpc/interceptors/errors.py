"""The one place where errors become gRPC answers. Our own error types keep their message; others become INTERNAL."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Never

import grpc
from google.protobuf.message import DecodeError

from noteflow_hooks.errors import (
    AlreadyExistsError,
    InvalidInputError,
    LimitError,
    NotFoundError,
    PreconditionError,
    ScopeError,
    TooLargeError,
    UnauthenticatedError,
    UnavailableError,
)
from noteflow_hooks.rpc.messages.details import bounded, details
from noteflow_hooks.rpc.runtime.aside import aside, aside_if

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from noteflow_hooks.rpc.runtime.calls import Context, Continuation, Handler

log = logging.getLogger(__name__)

#: How the paths of our own services begin; health and reflection answer their errors themselves.
OURS: Final = "/noteflow.v1."
#: The most bytes of a message of a stream: 256 KiB of audio, and what else a message says.
STREAM_MESSAGE_BYTES: Final = 260 * 1024
#: A message up to here is read within a millisecond, whatever it is made of, and audio is only copied.
_READ_ASIDE_BYTES: Final = 64 * 1024
_INTERNAL: Final = "internal error; the server's log says more"
_CODES: Final = {
    InvalidInputError: grpc.StatusCode.INVALID_ARGUMENT,
    UnauthenticatedError: grpc.StatusCode.UNAUTHENTICATED,
    ScopeError: grpc.StatusCode.PERMISSION_DENIED,
    NotFoundError: grpc.StatusCode.NOT_FOUND,
    AlreadyExistsError: grpc.StatusCode.ALREADY_EXISTS,
    PreconditionError: grpc.StatusCode.FAILED_PRECONDITION,
    LimitError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    UnavailableError: grpc.StatusCode.UNAVAILABLE,
}


def status_of(error: Exception) -> tuple[grpc.StatusCode, str]:
    """Return the code and the one line for an error; one that is not of our own types is logged."""
    for kind, code in _CODES.items():
        if isinstance(error, kind):
            return code, bounded(str(error))
    log.error("a call failed for a reason of our own", exc_info=error)
    return grpc.StatusCode.INTERNAL, _INTERNAL


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Makes answers of what handlers raise, and of messages that can't be read."""

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Wrap the handlers of our services."""
        handler = await continuation(handler_call_details)
        if handler is None or not handler_call_details.method.startswith(OURS):
            return handler
        if handler.request_streaming:
            make, behavior = grpc.stream_unary_rpc_method_handler, _streaming(handler.stream_unary)
            most = STREAM_MESSAGE_BYTES
        else:
            make, behavior = grpc.unary_unary_rpc_method_handler, _unary(handler.unary_unary)
            most = None
        return make(
            behavior,
            request_deserializer=partial(Unread, handler.request_deserializer, most),
            # The behaviors above return bytes: large answers are written in a thread.
            response_serializer=None,
        )


async def refuse(context: Context, error: Exception) -> Never:
    """End the call with the error's answer."""
    code, message = status_of(error)
    await context.abort(code, message, details(error, code=code, line=message))


def refusing(error: Exception) -> Handler:
    """Make a handler that answers with the error before it reads anything, which fits every kind of call."""

    async def answer(_: Any, context: Context) -> None:  # noqa: ANN401 - any message
        await refuse(context, error)

    return grpc.stream_stream_rpc_method_handler(answer)


def _unary(behavior: Any) -> Any:  # noqa: ANN401 - grpc's handlers have no common type
    async def guarded(request: Any, context: Context) -> bytes:  # noqa: ANN401 - any RPC's messages
        try:
            response = await behavior(await request.read(), context)
            return await aside(response, response.SerializeToString)
        except Exception as error:  # noqa: BLE001 - the boundary: every error becomes an answer here
            await refuse(context, error)

    return guarded


def _streaming(behavior: Any) -> Any:  # noqa: ANN401 - grpc's handlers have no common type
    async def readable(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for request in requests:
            yield await request.read()

    async def guarded(requests: AsyncIterator[Any], context: Context) -> bytes:
        try:
            response = await behavior(readable(requests), context)
            return bytes(response.SerializeToString())
        except Exception as error:  # noqa: BLE001 - the boundary: every error becomes an answer here
            await refuse(context, error)

    return guarded


class Unread:
    """A message's bytes, which become a message where an error has an answer: gRPC's own to bad ones is INTERNAL."""

    __slots__ = ("_data", "_deserialize", "size")

    def __init__(self, deserialize: Any, most: int | None, data: bytes) -> None:  # noqa: ANN401 - grpc's have no common type
        """Keep no bytes that are too many: ``most`` is how many there may be."""
        self._deserialize = deserialize
        #: How many bytes it has.
        self.size = len(data)
        self._data: bytes | LimitError = data
        if most is not None and len(data) > most:
            self._data = TooLargeError(f"a message of a stream may have {most} bytes; this one has {len(data)}")

    async def read(self) -> Any:  # noqa: ANN401 - any RPC's message
        """Return the message, or raise InvalidInputError, or LimitError."""
        data = self._data
        if isinstance(data, LimitError):
            raise data
        try:
            return await aside_if(len(data) > _READ_ASIDE_BYTES, lambda: self._deserialize(data))
        except DecodeError:
            raise InvalidInputError(
                "request", "can't be read as its message type, or holds text that is not UTF-8"
            ) from None
