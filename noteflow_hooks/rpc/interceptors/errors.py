"""The one place where errors become gRPC answers. Our own error types keep their message; others become INTERNAL."""

from __future__ import annotations

import logging
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
from noteflow_hooks.rpc.runtime.aside import aside_if

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from noteflow_hooks.rpc.runtime.calls import Context, Handler

log = logging.getLogger(__name__)

#: How the paths of our own services begin; health and reflection answer their errors themselves.
OURS: Final = "/noteflow.v1."
#: The most bytes of a message of a stream: 256 KiB of audio, and what else a message says.
STREAM_MESSAGE_BYTES: Final = 260 * 1024
#: A message up to here is read within a millisecond, whatever it is made of, and audio is only copied.
READ_ASIDE_BYTES: Final = 64 * 1024
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


async def refuse(context: Context, error: Exception) -> Never:
    """End the call with the error's answer."""
    code, message = status_of(error)
    await context.abort(code, message, details(error, code=code, line=message))


def refusing(error: Exception) -> Handler:
    """Make a handler that answers with the error before it reads anything, which fits every kind of call."""

    async def answer(_: Any, context: Context) -> None:  # noqa: ANN401 - any message
        await refuse(context, error)

    return grpc.stream_stream_rpc_method_handler(answer)


def bounded_bytes(data: bytes) -> bytes | TooLargeError:
    """Return a stream's message as it came, or why it is refused, which keeps nothing of it.

    This is what gRPC deserializes with: who raised the error with the bytes at hand would keep 4 MiB of each refused
    stream in the traceback, until garbage is collected.
    """
    if len(data) <= STREAM_MESSAGE_BYTES:
        return data
    return TooLargeError(f"a message of a stream may have {STREAM_MESSAGE_BYTES} bytes; this one has {len(data)}")


def answering_stream(behavior: Any, deserialize: Any) -> Any:  # noqa: ANN401 - grpc's handlers have no common type
    """Return what answers a stream of ``bounded_bytes``, or with the answer to the error that the behavior raises."""

    async def readable(requests: AsyncIterator[bytes | TooLargeError]) -> AsyncIterator[Any]:
        async for data in requests:
            if isinstance(data, TooLargeError):
                raise data
            yield await read(data, deserialize)

    async def guarded(requests: AsyncIterator[bytes | TooLargeError], context: Context) -> bytes:
        try:
            response = await behavior(readable(requests), context)
            return bytes(response.SerializeToString())
        except Exception as error:  # noqa: BLE001 - the boundary: every error becomes an answer here
            await refuse(context, error)

    return guarded


async def read(data: bytes, deserialize: Any) -> Any:  # noqa: ANN401 - any RPC's message
    """Return the message, or raise InvalidInputError: gRPC's own answer to bytes that are none is INTERNAL."""
    return await aside_if(len(data) > READ_ASIDE_BYTES, lambda: read_now(data, deserialize))


def read_now(data: bytes, deserialize: Any) -> Any:  # noqa: ANN401 - any RPC's message
    """Do the same for a message that is read within a millisecond."""
    try:
        return deserialize(data)
    except DecodeError:
        raise InvalidInputError(
            "request", "can't be read as its message type, or holds text that is not UTF-8"
        ) from None
