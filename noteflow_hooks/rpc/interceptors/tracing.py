"""Gives calls a span, in front of all other interceptors, in a server that is to trace.

What is not recorded costs a look at the call's metadata and a number drawn. Watches, health and reflection have none:
how long somebody watches says nothing.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

import grpc

from noteflow_hooks.rpc.interceptors.auth import is_known
from noteflow_hooks.rpc.interceptors.measuring import code_in, code_of
from noteflow_hooks.rpc.interceptors.scopes import WATCHES
from noteflow_hooks.telemetry.traceparent import TraceContext
from noteflow_hooks.telemetry.tracing import enter_trace

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from noteflow_hooks.rpc.runtime.calls import Context, Continuation, Handler
    from noteflow_hooks.telemetry.tracing import ServedSpan, SpanRecorder

#: Codes that say of a server's span that it has failed; others are the caller's fault (semantic conventions for gRPC).
_ERRORS: Final = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})


class TracingInterceptor(grpc.aio.ServerInterceptor):
    """Begins and ends the spans of calls whose trace is recorded."""

    def __init__(self, recorder: SpanRecorder) -> None:
        """It is told of each call."""
        self._recorder = recorder

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Return the handler, with a span around it where the call is recorded."""
        method = handler_call_details.method
        if not is_known(method) or method in WATCHES:
            return await continuation(handler_call_details)
        caller = _caller(handler_call_details.invocation_metadata or ())
        span = self._recorder.served(method.removeprefix("/"), _attributes(method), caller)
        if span is not None:
            enter_trace(span.traceparent)
        elif caller is not None:
            # Not recorded here, and maybe elsewhere: the event says so to whoever comes behind.
            enter_trace(caller.text)
        handler = await continuation(handler_call_details)
        return handler if span is None or handler is None else _spanned(handler, span)


def _caller(metadata: Iterable[tuple[str, str | bytes]]) -> TraceContext | None:
    """Return the caller's span; None where there is not exactly one, or where it says nothing that can be."""
    found = [value for name, value in metadata if name == "traceparent"]
    return TraceContext.read(found[0]) if len(found) == 1 and isinstance(found[0], str) else None


@cache
def _attributes(method: str) -> Mapping[str, str | int]:
    return {"rpc.system.name": "grpc", "rpc.method": method.removeprefix("/")}


def _spanned(handler: Handler, span: ServedSpan) -> Handler:
    """Return a handler from bytes to bytes as the one behind it, which ends the span."""
    if handler.request_streaming:
        return grpc.stream_unary_rpc_method_handler(
            _ending(handler.stream_unary, span), handler.request_deserializer, handler.response_serializer
        )
    return grpc.unary_unary_rpc_method_handler(
        _ending(handler.unary_unary, span), handler.request_deserializer, handler.response_serializer
    )


def _ending(behavior: Any, span: ServedSpan) -> Any:  # noqa: ANN401 - grpc's handlers have no common type
    async def answer(request: Any, context: Context) -> Any:  # noqa: ANN401 - any RPC's messages
        code = None
        try:
            return await behavior(request, context)
        except BaseException as error:
            code = code_of(error, context)
            raise
        finally:
            code = code or code_in(context)
            span.end(code, error=code in _ERRORS)

    return answer
