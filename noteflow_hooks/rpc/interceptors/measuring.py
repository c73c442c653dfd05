"""Counts calls and how long they took, in front of all other interceptors, in a server that is to measure."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

import grpc

from noteflow_hooks.rpc.interceptors.auth import is_known
from noteflow_hooks.rpc.interceptors.errors import OURS
from noteflow_hooks.telemetry.metrics import GRPC_CALLS, GRPC_DURATION, GRPC_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from noteflow_hooks.rpc.runtime.calls import Context, Continuation, Handler
    from noteflow_hooks.telemetry.memory import Figures

#: What stands for a method that is none of ours, whatever a caller has named.
_OTHER: Final = "other"
_CODES: Final = {code.value[0]: code.name for code in grpc.StatusCode}
_OPEN: Final = ("/grpc.health.", "/grpc.reflection.")


class MeasuringInterceptor(grpc.aio.ServerInterceptor):
    """Puts a measured handler in place of each."""

    def __init__(self, figures: Figures) -> None:
        """Count there."""
        self._figures = figures
        self._observe = figures.observer(GRPC_DURATION)
        #: Handlers of ours are the same at each call, so a measured one is made once.
        self._made: dict[int, tuple[Handler, Handler]] = {}

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Return the handler with a clock around it."""
        handler = await continuation(handler_call_details)
        if handler is None:
            self._note("UNIMPLEMENTED", _OTHER, 0.0)
            return None
        known = self._made.get(id(handler))
        if known is not None and known[0] is handler:
            return known[1]
        method = _named(handler_call_details.method)
        measured = self._measured(handler, method)
        if method != _OTHER and handler.unary_unary is not None:
            self._made[id(handler)] = (handler, measured)
        return measured

    def _measured(self, handler: Handler, method: str) -> Handler:
        kinds = (
            (handler.unary_unary, grpc.unary_unary_rpc_method_handler, self._answering),
            (handler.stream_unary, grpc.stream_unary_rpc_method_handler, self._answering),
            (handler.unary_stream, grpc.unary_stream_rpc_method_handler, self._streaming),
            (handler.stream_stream, grpc.stream_stream_rpc_method_handler, self._streaming),
        )
        behavior, make, around = next(each for each in kinds if each[0] is not None)
        made: Handler = make(around(behavior, method), handler.request_deserializer, handler.response_serializer)
        return made

    def _answering(self, behavior: Any, method: str) -> Any:  # noqa: ANN401 - grpc's handlers have no common type
        async def answer(request: Any, context: Context) -> Any:  # noqa: ANN401 - any RPC's messages
            began, code = time.monotonic(), None
            try:
                return await behavior(request, context)
            except BaseException as error:
                code = code_of(error, context)
                raise
            finally:
                took_s = time.monotonic() - began
                self._observe(took_s)
                self._note(code or code_in(context), method, took_s)

        return answer

    def _streaming(self, behavior: Any, method: str) -> Any:  # noqa: ANN401 - as above
        """Return the same of a handler that writes by itself, or yields; how long one was open says nothing."""

        async def answer(request: Any, context: Context) -> None:  # noqa: ANN401 - as above
            began, code = time.monotonic(), None
            try:
                await _written(behavior(request, context), context.write)
            except BaseException as error:
                code = code_of(error, context)
                raise
            finally:
                self._note(code or code_in(context), method, time.monotonic() - began)

        return answer

    def _note(self, code: str, method: str, took_s: float) -> None:
        figures = self._figures
        figures.add(figures.row(GRPC_CALLS, method, code))
        figures.add(figures.row(GRPC_SECONDS, method), took_s)


async def _written(answers: Any, write: Callable[[Any], Any]) -> None:  # noqa: ANN401 - a coroutine, or a generator
    if hasattr(answers, "__aiter__"):
        async for each in answers:
            await write(each)
    else:
        await answers


def _named(method: str) -> str:
    """Return the method as ``Service/Method``; of what has no handler of ours, nothing that a caller has written."""
    if is_known(method):
        return method.removeprefix(OURS)
    return method.removeprefix("/") if method.startswith(_OPEN) else _OTHER


def code_in(context: Context) -> str:
    """Return the name of the code that the call is answered with."""
    code: Any = context.code()
    return _CODES.get(code.value[0] if isinstance(code, grpc.StatusCode) else int(code or 0), "UNKNOWN")


def code_of(error: BaseException, context: Context) -> str:
    """Return the same where the call ends with that error."""
    if isinstance(error, asyncio.CancelledError):
        return "CANCELLED"
    code = code_in(context)
    # An error that no boundary has turned into an answer: gRPC makes one of it.
    return code if code != "OK" else "UNKNOWN"
