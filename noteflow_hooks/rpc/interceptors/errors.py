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
    UnauthenticatedError,
    UnavailableError,
)
from noteflow_hooks.rpc.messages.details import bounded, details

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from noteflow_hooks.rpc.runtime.calls import Context, Continuation, Handler

log = logging.getLogger(__name__)

#: How the paths of our own services begin; health and reflection answer their errors themselves.
OURS: Final = "/noteflow.v1."
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
        else:
            make, behavior = grpc.unary_unary_rpc_method_handler, _unary(handler.unary_unary)
        return make(
            behavior,
            request_deserializer=_lenient(handler.request_deserializer),
            response_serializer=handler.response_serializer,
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
    async def guarded(request: Any, context: Context) -> Any:  # noqa: ANN401 - any RPC's messages
        try:
            return await behavior(_readable(request), context)
        except Exception as error:  # noqa: BLE001 - the boundary: every error becomes an answer here
            await refuse(context, error)

    return guarded


def _streaming(behavior: Any) -> Any:  # noqa: ANN401 - grpc's handlers have no common type
    async def readable(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for request in requests:
            yield _readable(request)

    async def guarded(requests: AsyncIterator[Any], context: Context) -> Any:  # noqa: ANN401 - any RPC's messages
        try:
            return await behavior(readable(requests), context)
        except Exception as error:  # noqa: BLE001 - the boundary: every error becomes an answer here
            await refuse(context, error)

    return guarded


def _lenient(deserialize: Any) -> Any:  # noqa: ANN401 - grpc's deserializers have no common type
    """Pass bytes that are no message on to the handler, as an error: gRPC's own answer to them is INTERNAL."""

    def lenient(data: bytes) -> Any:  # noqa: ANN401 - any RPC's messages
        try:
            return deserialize(data)
        except DecodeError:
            return InvalidInputError("request", "can't be read as its message type, or holds text that is not UTF-8")

    return lenient


def _readable(request: Any) -> Any:  # noqa: ANN401 - any message
    if isinstance(request, InvalidInputError):
        raise request
    return request
