"""From what gRPC says of a call that failed to an error of ours, raised by that very call."""

from __future__ import annotations

import re
from typing import Any, Final

import grpc

from noteflow_hooks.errors import (
    AlreadyExistsError,
    ClosedConnectionError,
    InvalidInputError,
    LimitError,
    NoteFlowHooksError,
    NotFoundError,
    PreconditionError,
    UnauthenticatedError,
    UnavailableError,
)

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


#: Those kinds of errors that were made to be gRPC's, too.
_KINDS: Final[dict[type[NoteFlowHooksError], type[NoteFlowHooksError]]] = {}


class Answered(grpc.RpcError):
    """What gRPC itself knows of a call that failed: each error that a call raises is one of these, too."""

    _call: Any

    def code(self) -> grpc.StatusCode:
        """Return gRPC's code."""
        found: grpc.StatusCode = self._call.code()
        return found

    def details(self) -> str:
        """Return the server's line, or gRPC's."""
        return self._call.details() or ""

    def trailing_metadata(self) -> Any:  # noqa: ANN401 - as gRPC types it, which releases differ in
        """Return what the answer says to programs, in ``grpc-status-details-bin``."""
        return self._call.trailing_metadata() or ()


class Outcome:
    """A call whose error, whenever it is asked for its result, is one of ours."""

    def __init__(self, call: Any, server: str) -> None:  # noqa: ANN401 - a call, whose kinds have no common type
        self._call = call
        self._server = server

    def result(self, timeout: float | None = None) -> Any:  # noqa: ANN401 - any RPC's answer
        """Return the answer; raise where there is none."""
        try:
            return self._call.result(timeout)
        except grpc.RpcError as error:
            raise raised(error, self._server) from None

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a call has
        return getattr(self._call, name)


def raised(error: grpc.RpcError, server: str) -> NoteFlowHooksError:
    """Return the error as one of ours that still is gRPC's: whoever looks for its code finds it."""
    found = translated(error, server)
    found.__class__ = _both(type(found))
    vars(found)["_call"] = error
    return found


def _both(kind: type[NoteFlowHooksError]) -> type[NoteFlowHooksError]:
    """Return the kind of error that is gRPC's, too; the same one each time."""
    if kind not in _KINDS:
        named = {"__module__": kind.__module__, "__doc__": kind.__doc__}
        _KINDS[kind] = type(kind.__name__, (kind, Answered), named)
    return _KINDS[kind]


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
        return UnauthenticatedError(f"{server}: a valid token is needed")
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
        return ClosedConnectionError(f"{server} closes the connection: it may want TLS, or a certificate of yours")
    return UnavailableError(f"no server answers at {server}")
