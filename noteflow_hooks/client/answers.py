"""From gRPC's errors to the project's own, each with one clear line: the server's, or why it was not reached.

Programs and commands read them, so they name no option of a command line.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any, Final, TypeVar

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from noteflow_hooks.errors import (
    AlreadyExistsError,
    ClosedConnectionError,
    InvalidInputError,
    LimitError,
    NoteFlowHooksError,
    NotFoundError,
    PreconditionError,
    RateLimitError,
    Reason,
    ScopeError,
    TooLargeError,
    UnauthenticatedError,
    UnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

    Make = Callable[[Any, str, str], NoteFlowHooksError]

Detail = TypeVar("Detail", bound="Message")

#: The kinds whose message is the server's line as it is.
_KINDS: Final[dict[grpc.StatusCode, type[NoteFlowHooksError]]] = {
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExistsError,
    grpc.StatusCode.FAILED_PRECONDITION: PreconditionError,
    grpc.StatusCode.PERMISSION_DENIED: ScopeError,
}
#: Where gRPC's libraries keep a google.rpc.Status, whose details are for programs.
_STATUS: Final = "grpc-status-details-bin"
#: How gRPC's own messages begin where no server is reached.
_UNREACHED: Final = (
    "failed to connect",
    "errors resolving",
    "dns resolution",
    "connections to all backends",
    "name resolution",
)
#: How they begin where one that was reached went away before it answered.
_BROKEN: Final = ("stream removed", "socket closed", "connection reset", "recvmsg:")
#: What BoringSSL says of a certificate, inside gRPC's message for a connection that failed.
_UNTRUSTED: Final = re.compile(r"CERTIFICATE_VERIFY_FAILED: ([^:]+)")


def translated(error: Any, server: str) -> NoteFlowHooksError:  # noqa: ANN401 - gRPC's type for it lacks code and details
    """Return a call's error as one of ours, with one clear line as its message, and the reason if one is given."""
    code = error.code()
    words = (error.details() or code.name).partition("\n")[0]
    make = _MAKERS.get(code)
    ours = make(error, words, server) if make is not None else _KINDS.get(code, NoteFlowHooksError)(words)
    ours.reason = _reason(error) or ours.reason
    return ours


def of_status(status: Status, server: str) -> NoteFlowHooksError:
    """Return as one of ours what one of many was refused with, in an answer to all of them."""
    return translated(_Refusal(status), server)


class _Refusal:
    """A status, as gRPC's errors show theirs."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def code(self) -> grpc.StatusCode:
        codes = {each.value[0]: each for each in grpc.StatusCode}
        return codes.get(self._status.code, grpc.StatusCode.UNKNOWN)

    def details(self) -> str:
        return str(self._status.message)

    def trailing_metadata(self) -> tuple[tuple[str, bytes], ...]:
        return ((_STATUS, self._status.SerializeToString()),)


def _invalid(error: Any, words: str, _: str) -> NoteFlowHooksError:  # noqa: ANN401 - as above
    """Return all that is wrong, from the details; without them, the line says one field."""
    found = _detail(error, BadRequest)
    if found is not None and found.field_violations:
        return InvalidInputError.of_all(
            [InvalidInputError(each.field, each.description) for each in found.field_violations]
        )
    field, _, problem = words.partition(": ")
    return InvalidInputError(field, problem) if problem else NoteFlowHooksError(words)


def _limited(error: Any, words: str, _: str) -> NoteFlowHooksError:  # noqa: ANN401 - as above
    found, reason = _detail(error, RetryInfo), _reason(error)
    if reason is Reason.MESSAGE_TOO_LARGE:
        return TooLargeError(words)
    if found is not None and reason is Reason.TOO_OFTEN:
        return RateLimitError(words, retry_after=found.retry_delay.ToTimedelta())
    ours = LimitError(words)
    ours.retry_after = found.retry_delay.ToTimedelta() if found is not None else None
    return ours


def _unauthenticated(_: object, __: str, server: str) -> NoteFlowHooksError:
    return UnauthenticatedError(f"{server}: a valid token is needed")


def _late(_: object, __: str, server: str) -> NoteFlowHooksError:
    return UnavailableError(f"{server} did not answer in time")


def _cancelled(_: object, words: str, server: str) -> NoteFlowHooksError:
    """Return the error for a call that was ended: by a server that stops, unless gRPC says that it was the program."""
    if words.startswith("Locally cancelled"):
        return NoteFlowHooksError(words)
    return UnavailableError(f"{server} ended the call")


def _unavailable(_: object, words: str, server: str) -> NoteFlowHooksError:
    if words.lower().startswith(_UNREACHED):
        return _unreached(words, server)
    if words.lower().startswith(_BROKEN):
        return UnavailableError(f"{server} went away before it answered")
    return UnavailableError(f"{server}: {words}")


def _unreached(words: str, server: str) -> NoteFlowHooksError:
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


def _reason(error: Any) -> Reason | None:  # noqa: ANN401 - as above
    """Return the reason that is given; a server that is newer than we are may give one that we don't know."""
    found = _detail(error, ErrorInfo)
    return Reason(found.reason) if found is not None and found.reason in set(Reason) else None


def _detail(error: Any, kind: type[Detail]) -> Detail | None:  # noqa: ANN401 - as above
    """Return the detail of that kind which the answer has, if any; one that can't be read has none."""
    found = kind()
    for key, value in error.trailing_metadata() or ():
        if key == _STATUS:
            with contextlib.suppress(DecodeError):
                if any(each.Unpack(found) for each in Status.FromString(value).details):
                    return found
    return None


_MAKERS: Final[dict[grpc.StatusCode, Make]] = {
    grpc.StatusCode.INVALID_ARGUMENT: _invalid,
    grpc.StatusCode.RESOURCE_EXHAUSTED: _limited,
    grpc.StatusCode.UNAUTHENTICATED: _unauthenticated,
    grpc.StatusCode.DEADLINE_EXCEEDED: _late,
    grpc.StatusCode.UNAVAILABLE: _unavailable,
    grpc.StatusCode.CANCELLED: _cancelled,
}
