"""What each call gets on its way: the token, a deadline, and errors of the project's own where it fails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc

from noteflow_hooks.client.answers import translated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import timedelta

    from noteflow_hooks.errors import NoteFlowHooksError


@dataclass(frozen=True)
class _Details(grpc.ClientCallDetails):
    """A call's details: gRPC has only an interface for them."""

    method: str
    timeout: float | None
    metadata: Any
    credentials: grpc.CallCredentials | None
    wait_for_ready: bool | None
    compression: grpc.Compression | None


class Authorizing(
    grpc.UnaryUnaryClientInterceptor, grpc.StreamUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor
):
    """Adds the token to every call, and the timeout to every unary one that names none; a stream may take any time.

    gRPC's own call credentials can't be used: it refuses them on a channel without TLS.
    """

    def __init__(self, token: str, *, timeout: timedelta) -> None:
        self._entry = ("authorization", f"Bearer {token}")
        self._timeout_s = timeout.total_seconds()

    def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: grpc.ClientCallDetails, request: object
    ) -> Any:  # noqa: ANN401 - a call, whose kinds have no common type
        """Call with the token, and within a timeout."""
        timeout = client_call_details.timeout
        bounded = timeout if timeout is not None else self._timeout_s
        return continuation(self._with_token(client_call_details, bounded), request)

    def intercept_stream_unary(
        self,
        continuation: Callable[..., Any],
        client_call_details: grpc.ClientCallDetails,
        request_iterator: Iterator[Any],
    ) -> Any:  # noqa: ANN401 - as above
        """Call with the token."""
        details = self._with_token(client_call_details, client_call_details.timeout)
        return continuation(details, request_iterator)

    def intercept_unary_stream(
        self, continuation: Callable[..., Any], client_call_details: grpc.ClientCallDetails, request: object
    ) -> Any:  # noqa: ANN401 - as above
        """Call with the token; what it tells may take any time."""
        return continuation(self._with_token(client_call_details, client_call_details.timeout), request)

    def _with_token(self, details: grpc.ClientCallDetails, timeout: float | None) -> _Details:
        return _Details(
            method=details.method,
            timeout=timeout,
            metadata=[*(details.metadata or ()), self._entry],
            credentials=details.credentials,
            wait_for_ready=details.wait_for_ready,
            compression=details.compression,
        )


class Translating(
    grpc.UnaryUnaryClientInterceptor, grpc.StreamUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor
):
    """Makes every call raise the project's errors; it stands outermost, so that it sees what all others let through."""

    def __init__(self, server: str) -> None:
        """``server`` is named where it doesn't answer."""
        self._server = server

    def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: grpc.ClientCallDetails, request: object
    ) -> Any:  # noqa: ANN401 - as above
        """Call, and return what answers with our errors."""
        return _Translated(continuation(client_call_details, request), self._server)

    def intercept_stream_unary(
        self,
        continuation: Callable[..., Any],
        client_call_details: grpc.ClientCallDetails,
        request_iterator: Iterator[Any],
    ) -> Any:  # noqa: ANN401 - as above
        """Call likewise."""
        return _Translated(continuation(client_call_details, request_iterator), self._server)

    def intercept_unary_stream(
        self, continuation: Callable[..., Any], client_call_details: grpc.ClientCallDetails, request: object
    ) -> Any:  # noqa: ANN401 - as above
        """Call, and return what yields with our errors."""
        return _TranslatedStream(continuation(client_call_details, request), self._server)


class _TranslatedStream:
    """A stream of answers: gRPC's own, but for the errors."""

    def __init__(self, call: Any, server: str) -> None:  # noqa: ANN401 - as above
        self._call = call
        self._server = server

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a call has
        return getattr(self._call, name)

    def __iter__(self) -> _TranslatedStream:
        return self

    def __next__(self) -> Any:  # noqa: ANN401 - any RPC's message
        try:
            return next(self._call)
        except grpc.RpcError as error:
            raise translated(error, self._server) from error


class _Translated:
    """A call, or its future: gRPC's own, but for the errors. A blocking call is one that is done already."""

    def __init__(self, call: Any, server: str) -> None:  # noqa: ANN401 - as above
        self._call = call
        self._server = server

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a call has
        return getattr(self._call, name)

    def result(self, timeout: float | None = None) -> Any:  # noqa: ANN401 - any RPC's message
        """Return the answer, waiting so many seconds at the most, or raise why there is none."""
        try:
            return self._call.result(timeout)
        except grpc.RpcError as error:
            raise translated(error, self._server) from error

    def exception(self, timeout: float | None = None) -> Exception | None:
        """Return why there is no answer, waiting so many seconds at the most; None where there is one."""
        error: Exception | None = self._call.exception(timeout)
        if not isinstance(error, grpc.RpcError):
            return error
        ours: NoteFlowHooksError = translated(error, self._server)
        ours.__cause__ = error
        return ours

    def add_done_callback(self, fn: Callable[[Any], None]) -> None:
        """Call ``fn`` with this future, not with gRPC's, once it is done."""
        self._call.add_done_callback(lambda _: fn(self))
