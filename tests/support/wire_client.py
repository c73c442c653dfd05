"""A client that raises gRPC's own errors, for tests of what goes over the wire: the code, the line and the details."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import grpc

from noteflow_hooks.client.opening import OPTIONS, TIMEOUT
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import timedelta


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


class WireClient:
    """The stubs of the three services over a plain connection, with the token and the default timeout."""

    def __init__(self, server: str, token: str, *, timeout: timedelta = TIMEOUT, is_alone: bool = False) -> None:
        """``is_alone`` gives it a connection of its own; else clients of one server share one."""
        own = (("grpc.use_local_subchannel_pool", int(is_alone)),)
        self._channel = grpc.insecure_channel(server, options=(*OPTIONS, *own))
        channel = grpc.intercept_channel(self._channel, Authorizing(token, timeout=timeout))
        self.meetings = pb_grpc.MeetingServiceStub(channel)
        self.webhooks = pb_grpc.WebhookServiceStub(channel)
        self.events = pb_grpc.EventServiceStub(channel)
        self.audit = pb_grpc.AuditServiceStub(channel)

    def wait_until_connected(self, *, timeout_s: float) -> None:
        """Return once the server has taken the connection."""
        grpc.channel_ready_future(self._channel).result(timeout_s)

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
