"""What a failed call raises: an error of ours with one line, whatever gRPC says, that names no option of a command."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from noteflow_hooks.client.answers import translated
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
    from google.protobuf.message import Message

Code = grpc.StatusCode
#: How gRPC begins its words for a connection that failed, and how it goes on where TLS did.
FAILED = "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1:"
TLS = "Tls handshake failed (TSI_PROTOCOL_FAILURE): SSL_ERROR_SSL: error:1000007d:SSL routines:"
UNTRUSTED = f"{TLS}OPENSSL_internal:CERTIFICATE_VERIFY_FAILED: expired: OK"


class Refusal(grpc.RpcError):
    """An answer, as a call raises it."""

    def __init__(self, code: grpc.StatusCode, details: str, *about: Message) -> None:
        self._answer = code, details
        self._about = about

    def code(self) -> grpc.StatusCode:
        """Return the code."""
        return self._answer[0]

    def details(self) -> str:
        """Return the line."""
        return self._answer[1]

    def trailing_metadata(self) -> Any:  # noqa: ANN401 - the stubs have no None, and no plain pairs
        """Return what the server has said for programs; None where no server was reached."""
        if not self._about:
            return None
        status = Status()
        for each in self._about:
            status.details.add().Pack(each)
        return (("grpc-status-details-bin", status.SerializeToString()),)


@pytest.mark.parametrize(
    ("code", "details", "kind", "line"),
    [
        (Code.INVALID_ARGUMENT, "url: is bad", InvalidInputError, "url: is bad"),
        (Code.INVALID_ARGUMENT, "is bad", NoteFlowHooksError, "is bad"),
        (Code.NOT_FOUND, "nowhere", NotFoundError, "nowhere"),
        (Code.ALREADY_EXISTS, "there", AlreadyExistsError, "there"),
        (Code.FAILED_PRECONDITION, "not now", PreconditionError, "not now"),
        (Code.PERMISSION_DENIED, "needs manage", ScopeError, "needs manage"),
        (Code.UNAUTHENTICATED, "whatever", UnauthenticatedError, "host:1: a valid token is needed"),
        (Code.RESOURCE_EXHAUSTED, "too many", LimitError, "too many"),
        (Code.UNAVAILABLE, "failed to connect to all", UnavailableError, "no server answers at host:1"),
        (Code.UNAVAILABLE, "the database is away", UnavailableError, "host:1: the database is away"),
        (
            Code.UNAVAILABLE,
            "Stream removed (Socket closed)",
            UnavailableError,
            "host:1 went away before it answered",
        ),
        (
            Code.UNAVAILABLE,
            f"{FAILED} {UNTRUSTED}",
            NoteFlowHooksError,
            "host:1: its certificate is not trusted: expired",
        ),
        (
            Code.UNAVAILABLE,
            f"{FAILED} Hostname Verification Check failed.",
            NoteFlowHooksError,
            "host:1: its certificate is for another name",
        ),
        (Code.UNAVAILABLE, f"{FAILED} {TLS}WRONG_VERSION_NUMBER: x", NoteFlowHooksError, "host:1 does not speak TLS"),
        (Code.UNAVAILABLE, f"{FAILED} {TLS}NO_CIPHER: x", NoteFlowHooksError, "host:1: TLS fails: NO_CIPHER: x"),
        (
            Code.UNAVAILABLE,
            f"{FAILED} Socket closed",
            ClosedConnectionError,
            "host:1 closes the connection: it may want TLS, or a certificate of yours",
        ),
        (Code.DEADLINE_EXCEEDED, "Deadline", UnavailableError, "host:1 did not answer in time"),
        (Code.CANCELLED, "CANCELLED", UnavailableError, "host:1 ended the call"),
        (Code.CANCELLED, "Locally cancelled by application!", NoteFlowHooksError, "Locally cancelled by application!"),
        (Code.INTERNAL, "broken\ntrace", NoteFlowHooksError, "broken"),
        (Code.UNIMPLEMENTED, "", NoteFlowHooksError, "UNIMPLEMENTED"),
    ],
)
def test_an_answer_becomes_one_line_of_the_right_kind(
    code: grpc.StatusCode, details: str, kind: type[Exception], line: str
) -> None:
    """The kinds are the project's own."""
    error = translated(Refusal(code, details), "host:1")
    assert (type(error), str(error)) == (kind, line)
    assert "--" not in str(error)


def test_all_that_is_wrong_is_told_by_field() -> None:
    """The first one is the error's own; the line has them all."""
    wrong = [("url", "is bad"), ("events", "is empty")]
    violations = [BadRequest.FieldViolation(field=field, description=problem) for field, problem in wrong]
    about = BadRequest(field_violations=violations)
    error = translated(Refusal(Code.INVALID_ARGUMENT, "url: is bad; …", about), "host:1")
    assert isinstance(error, InvalidInputError)
    assert (error.field, str(error)) == ("url", "url: is bad; events: is empty")
    assert error.violations == tuple(wrong)


@pytest.mark.parametrize(
    ("reason", "wait_s", "kind"),
    [
        (Reason.TOO_OFTEN, 1.5, RateLimitError),
        (Reason.TOO_MANY_CALLS, 1, LimitError),
        (Reason.LIMIT_REACHED, None, LimitError),
        (Reason.MESSAGE_TOO_LARGE, None, TooLargeError),
    ],
)
def test_a_limit_says_when_to_try_again(reason: Reason, wait_s: float | None, kind: type[LimitError]) -> None:
    """Where that helps."""
    about: list[Any] = [ErrorInfo(domain="noteflow.hooks", reason=reason)]
    if wait_s is not None:
        about.insert(0, RetryInfo())
        about[0].retry_delay.FromTimedelta(timedelta(seconds=wait_s))
    error = translated(Refusal(Code.RESOURCE_EXHAUSTED, "too much", *about), "host:1")
    assert isinstance(error, LimitError)
    assert (type(error), str(error), error.reason) == (kind, "too much", reason)
    assert error.retry_after == (timedelta(seconds=wait_s) if wait_s is not None else None)


def test_an_error_has_the_reason_that_is_given() -> None:
    """Else its kind's own, as for one that only a newer server knows."""
    for given, found in (("WEBHOOKS_OFF", Reason.WEBHOOKS_OFF), ("A_NEW_ONE", Reason.REFUSED), ("", Reason.REFUSED)):
        about = ErrorInfo(domain="noteflow.hooks", reason=given)
        assert translated(Refusal(Code.FAILED_PRECONDITION, "no", about), "host:1").reason is found
    assert translated(Refusal(Code.NOT_FOUND, "no"), "host:1").reason is Reason.NOT_FOUND


def test_details_that_cant_be_read_leave_the_line() -> None:
    """As an intermediary may send them."""
    refusal = Refusal(Code.RESOURCE_EXHAUSTED, "too often")
    refusal.trailing_metadata = lambda: (("grpc-status-details-bin", b"\xff"),)  # type: ignore[method-assign]  # damaged
    error = translated(refusal, "host:1")
    assert (type(error), str(error)) == (LimitError, "too often")
