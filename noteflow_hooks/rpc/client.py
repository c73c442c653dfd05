"""A small synchronous client, for commands: stubs that carry the token, and errors of the project's own tree."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import grpc

from noteflow_hooks.errors import (
    AlreadyExistsError,
    InvalidInputError,
    LimitError,
    NoteFlowHooksError,
    NotFoundError,
    PreconditionError,
    UnavailableError,
)
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

Q = TypeVar("Q")

#: How long a call may take that names no timeout of its own, in seconds.
TIMEOUT_S: Final = 15.0
#: The environment's proxies are meant for the web: gRPC would send even calls to this machine through one.
_OPTIONS: Final = (("grpc.enable_http_proxy", 0),)

_ERRORS: Final[dict[grpc.StatusCode, type[NoteFlowHooksError]]] = {
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExistsError,
    grpc.StatusCode.FAILED_PRECONDITION: PreconditionError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: LimitError,
}
#: How gRPC's own messages begin where no server is reached.
_UNREACHED: Final = (
    "failed to connect",
    "errors resolving",
    "dns resolution",
    "connections to all backends",
    "name resolution",
)
#: What BoringSSL says of a certificate, inside gRPC's message for a connection that failed.
_UNTRUSTED: Final = re.compile(r"CERTIFICATE_VERIFY_FAILED: ([^:]+)")


def connect(
    server: str,
    token: str,
    *,
    credentials: grpc.ChannelCredentials | None = None,
    server_name: str | None = None,
    plaintext: bool = False,
) -> Client:
    """Return a client for the server at ``host:port`` or ``unix:path``; nothing is sent before the first call.

    Without TLS ``credentials`` the server must be on this machine, unless ``plaintext`` allows the token to go over
    the network unencrypted; else NoteFlowHooksError is raised. ``server_name`` is what its certificate must be for,
    where that is another name than the host.
    """
    return Client(server, token, credentials=credentials, server_name=server_name, plaintext=plaintext)


class Client:
    """Use it in a ``with`` block: leaving that closes the channel, and turns a call's error into one of ours."""

    def __init__(
        self,
        server: str,
        token: str,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        server_name: str | None = None,
        plaintext: bool = False,
    ) -> None:
        self._server = server
        if credentials is not None:
            named = () if server_name is None else (("grpc.ssl_target_name_override", server_name),)
            self._channel = grpc.secure_channel(server, credentials, options=(*_OPTIONS, *named))
        elif plaintext or _is_here(server):
            self._channel = grpc.insecure_channel(server, options=_OPTIONS)
        else:
            raise NoteFlowHooksError(
                f"{server} may be another machine, where a token does not go unencrypted: "
                "give --tls-ca FILE or --tls-ca system, or --insecure to send it all the same"
            )
        channel = grpc.intercept_channel(self._channel, _TokenInterceptor(token))
        #: MeetingService.
        self.meetings = pb_grpc.MeetingServiceStub(channel)
        #: WebhookService.
        self.webhooks = pb_grpc.WebhookServiceStub(channel)
        #: EventService.
        self.events = pb_grpc.EventServiceStub(channel)

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if isinstance(error, grpc.RpcError):
            raise translated(error, self._server) from None


def translated(error: grpc.RpcError, server: str) -> NoteFlowHooksError:
    """Return a call's error as one of ours, with one clear line as its message."""
    code = error.code()
    words = (error.details() or code.name).partition("\n")[0]
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        field, _, problem = words.partition(": ")
        return InvalidInputError(field, problem) if problem else NoteFlowHooksError(words)
    if code is grpc.StatusCode.UNAVAILABLE:
        return (
            _unreachable(words, server)
            if words.lower().startswith(_UNREACHED)
            else UnavailableError(f"{server}: {words}")
        )
    if code is grpc.StatusCode.UNAUTHENTICATED:
        return NoteFlowHooksError(f"{server}: a valid token is needed, in --token or NOTEFLOW_HOOKS_TOKEN")
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return UnavailableError(f"{server} did not answer in time")
    return _ERRORS.get(code, NoteFlowHooksError)(words)


def _unreachable(words: str, server: str) -> NoteFlowHooksError:
    """Return the error for a server that was not reached: no second attempt helps where TLS fails."""
    if found := _UNTRUSTED.search(words):
        return NoteFlowHooksError(f"{server}: its certificate is not trusted: {found[1]}")
    if "Hostname Verification" in words:
        return NoteFlowHooksError(f"{server}: its certificate is for another name")
    if "WRONG_VERSION_NUMBER" in words:
        return NoteFlowHooksError(f"{server} does not speak TLS")
    if "handshake failed" in words.lower():
        return NoteFlowHooksError(f"{server}: TLS fails: {words.rpartition('SSL routines:')[2]}")
    if "Socket closed" in words or "onnection reset" in words:
        return UnavailableError(
            f"{server} closes the connection: it may want TLS (--tls-ca), or a certificate of yours (--tls-cert)"
        )
    return UnavailableError(f"no server answers at {server}")


def _is_here(server: str) -> bool:
    """Tell by its form alone whether the address is this machine: a name server's answer may change."""
    if server.startswith("unix:"):
        return True
    host = server.rpartition(":")[0].removeprefix("[").removesuffix("]")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


@dataclass(frozen=True)
class _Details(grpc.ClientCallDetails):
    """A call's details: gRPC has only an interface for them."""

    method: str
    timeout: float | None
    metadata: Any
    credentials: grpc.CallCredentials | None
    wait_for_ready: bool | None
    compression: grpc.Compression | None


class _TokenInterceptor(grpc.UnaryUnaryClientInterceptor, grpc.StreamUnaryClientInterceptor):
    """Adds the token to every call, and a timeout to every unary one that has none.

    gRPC's own call credentials can't be used: it refuses them on a channel without TLS.
    """

    def __init__(self, token: str) -> None:
        self._entry = ("authorization", f"Bearer {token}")

    def intercept_unary_unary(
        self,
        continuation: Callable[..., Any],
        client_call_details: grpc.ClientCallDetails,
        request: Q,
    ) -> Any:  # noqa: ANN401 - a call, whose kinds have no common type
        """Call with the token, and within a timeout."""
        timeout = client_call_details.timeout
        bounded = TIMEOUT_S if timeout is None else timeout
        return continuation(self._with_token(client_call_details, bounded), request)

    def intercept_stream_unary(
        self,
        continuation: Callable[..., Any],
        client_call_details: grpc.ClientCallDetails,
        request_iterator: Iterator[Q],
    ) -> Any:  # noqa: ANN401 - as above
        """Call with the token; a stream takes as long as it takes."""
        details = self._with_token(client_call_details, client_call_details.timeout)
        return continuation(details, request_iterator)

    def _with_token(self, details: grpc.ClientCallDetails, timeout: float | None) -> _Details:
        return _Details(
            method=details.method,
            timeout=timeout,
            metadata=[*(details.metadata or ()), self._entry],
            credentials=details.credentials,
            wait_for_ready=details.wait_for_ready,
            compression=details.compression,
        )
