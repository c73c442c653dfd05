"""What ends an exchange before a status has come: one exception, which never leaves the executor."""

from __future__ import annotations

import errno
import re
import ssl
from typing import Final

from noteflow_hooks.domain.deliveries import TIMED_OUT, ErrorKind

#: What our own machine runs out of. No receiver's fault, so none of its budget.
_OURS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
#: OpenSSL's words in the text of an error, between its library and the line of Python's source.
_WORDS: Final = re.compile(r"\[SSL\] ([a-z0-9 ]+) \(_ssl\.c:[0-9]+\)")


class ExchangeError(Exception):
    """The exchange failed; the message is safe to show to the endpoint's owner."""

    def __init__(self, kind: ErrorKind, message: str) -> None:
        """Name the kind that goes on record, and what to tell."""
        super().__init__(message)
        self.kind = kind
        self.message = message


class UnansweredError(ExchangeError):
    """The connection has ended before any byte of an answer."""

    def __init__(self) -> None:
        """There is one thing to say of it."""
        super().__init__(ErrorKind.CONNECT, "Connection closed without a response")


def timed_out() -> ExchangeError:
    """Return the error for a deadline that has passed."""
    return ExchangeError(ErrorKind.TIMEOUT, TIMED_OUT)


def protocol(problem: str) -> ExchangeError:
    """Return the error for an answer that is not HTTP."""
    return ExchangeError(ErrorKind.PROTOCOL, f"Invalid HTTP response: {problem}")


def is_ours(error: Exception) -> bool:
    """Tell whether it is our own machine that failed."""
    return isinstance(error, OSError) and error.errno in _OURS


def from_network(error: OSError) -> ExchangeError:
    """Return what an error of the standard library means."""
    if isinstance(error, ssl.SSLError):
        return ExchangeError(ErrorKind.TLS, f"TLS error: {_tls_problem(error)}")
    if isinstance(error, TimeoutError) and error.errno is None:
        return timed_out()
    return ExchangeError(ErrorKind.CONNECT, error.strerror or "Connection failed")


def _tls_problem(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    # The first releases of Python 3.11 give no reason where the other side has closed the connection; an error that is
    # made in Python has none at all.
    is_end = isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError)
    reason: str = getattr(error, "reason", None) or ("unexpected EOF while reading" if is_end else _in_words(error))
    return reason.replace("_", " ").lower()


def _in_words(error: ssl.SSLError) -> str:
    """Return what OpenSSL says of an error that Python has no name for, as of a refused ALPN."""
    match = _WORDS.fullmatch(str(error.strerror))
    return match[1] if match is not None and match[1] != "unknown error" else "handshake failed"
