"""What the client says when a call fails: one line, whatever gRPC says, and no word of anybody's options."""

from __future__ import annotations

import grpc
import pytest

from noteflow_hooks.client import connect
from noteflow_hooks.client.answers import translated
from noteflow_hooks.errors import (
    AlreadyExistsError,
    ClosedConnectionError,
    InvalidInputError,
    LimitError,
    NoteFlowHooksError,
    PreconditionError,
    UnavailableError,
    UnencryptedError,
)

Code = grpc.StatusCode
#: How gRPC begins its words for a connection that failed, and how it goes on where TLS did.
FAILED = "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1:"
TLS = "Tls handshake failed (TSI_PROTOCOL_FAILURE): SSL_ERROR_SSL: error:1000007d:SSL routines:"
UNTRUSTED = f"{TLS}OPENSSL_internal:CERTIFICATE_VERIFY_FAILED: expired: OK"


class Refusal(grpc.RpcError):
    """An answer, as a call raises it."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        self._answer = code, details

    def code(self) -> grpc.StatusCode:
        """Return the code."""
        return self._answer[0]

    def details(self) -> str:
        """Return the line."""
        return self._answer[1]


@pytest.mark.parametrize(
    ("code", "details", "kind", "line"),
    [
        (Code.INVALID_ARGUMENT, "url: is bad", InvalidInputError, "url: is bad"),
        (Code.INVALID_ARGUMENT, "is bad", NoteFlowHooksError, "is bad"),
        (Code.ALREADY_EXISTS, "there", AlreadyExistsError, "there"),
        (Code.FAILED_PRECONDITION, "not now", PreconditionError, "not now"),
        (Code.RESOURCE_EXHAUSTED, "too many", LimitError, "too many"),
        (Code.UNAVAILABLE, "failed to connect to all", UnavailableError, "no server answers at host:1"),
        (Code.UNAVAILABLE, "the database is away", UnavailableError, "host:1: the database is away"),
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


@pytest.mark.parametrize(
    "server", ["127.0.0.1:1", "127.0.0.2:1", "[::1]:1", "localhost:1", "LOCALHOST:1", "unix:/run/hooks.sock"]
)
def test_a_token_goes_to_this_machine_without_tls(server: str) -> None:
    """Whose addresses are known by their form."""
    connect(server, "t").close()


@pytest.mark.parametrize(
    "server",
    ["10.0.0.7:1", "0.0.0.0:1", "[::]:1", "host:1", "localhost.example:1", "127.0.0.1.example:1", "dns:///localhost:1"],
)
def test_a_token_goes_nowhere_else_without_tls(server: str) -> None:
    """Unless that is asked for; a name may stand for this machine now, and for another in a moment."""
    with pytest.raises(UnencryptedError, match=r"a token does not go unencrypted$"):
        connect(server, "t")
    connect(server, "t", plaintext=True).close()
    connect(server, "t", credentials=grpc.ssl_channel_credentials()).close()
