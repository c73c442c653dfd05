"""What the standard library's errors are called in an attempt's record."""

from __future__ import annotations

import ssl

import pytest

from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.executor.http.faults import from_network


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ssl.SSLZeroReturnError(6, "closed"), "TLS error: unexpected eof while reading"),
        (ssl.SSLEOFError(8, "ended"), "TLS error: unexpected eof while reading"),
        (ssl.SSLError(1, "odd"), "TLS error: handshake failed"),
    ],
)
def test_a_tls_error_without_a_reason_is_named_all_the_same(error: ssl.SSLError, message: str) -> None:
    """The first releases of Python 3.11 give none where the other side has closed."""
    found = from_network(error)
    assert (found.kind, found.message) == (ErrorKind.TLS, message)
