"""The exception for an exchange that fails before a status has come. It never leaves the executor."""

from __future__ import annotations

import errno
import re
import ssl
from typing import Final

from noteflow_hooks.domain.attempts import TIMED_OUT, ErrorKind

#: Errors of our own machine, which has run out of something: not the receiver's fault, so its budget is not used.
_OURS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
#: An SSL error's text: OpenSSL's words stand between the library's name and a line of Python's source.
_WORDS: Final = re.compile(r"\[SSL\] ([a-z0-9 ]+) \(_ssl\.c:[0-9]+\)")


class ExchangeError(Exception):
    """The exchange failed; the message is safe to show to the endpoint's owner."""

    def __init__(self, kind: ErrorKind, message: str) -> None:
        """Take the kind that goes on record, and the message for the endpoint's owner."""
        super().__init__(message)
        self.kind = kind
        self.message = message


class UnansweredError(ExchangeError):
    """The connection has ended before any byte of an answer."""

    def __init__(self) -> None:
        """The message is always the same."""
        super().__init__(ErrorKind.CONNECT, "Connection closed without a response")


def timed_out() -> ExchangeError:
    """Return the error for a deadline that has passed."""
    return ExchangeError(ErrorKind.TIMEOUT, TIMED_OUT)


def protocol(problem: str) -> ExchangeError:
    """Return the error for an answer that is not HTTP."""
    return ExchangeError(ErrorKind.PROTOCOL, f"Invalid HTTP response: {problem}")


def is_ours(error: Exception) -> bool:
    """Tell whether our own machine failed."""
    return isinstance(error, OSError) and error.errno in _OURS


def from_network(error: OSError) -> ExchangeError:
    """Return the exchange's error for one of the standard library."""
    if isinstance(error, ssl.SSLError):
        return ExchangeError(ErrorKind.TLS, f"TLS error: {_tls_problem(error)}")
    if isinstance(error, TimeoutError) and error.errno is None:
        return timed_out()
    return ExchangeError(ErrorKind.CONNECT, error.strerror or "Connection failed")


def _tls_problem(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    # The first releases of Python 3.11 give no reason if the other side has closed the connection, and an error that is
    # raised by Python code has no such attribute.
    is_end = isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError)
    reason: str = getattr(error, "reason", None) or ("unexpected EOF while reading" if is_end else _in_words(error))
    return reason.replace("_", " ").lower()


def _in_words(error: ssl.SSLError) -> str:
    """Return OpenSSL's words for an error that Python has no name for, such as a refused ALPN."""
    match = _WORDS.fullmatch(str(error.strerror))
    return match[1] if match is not None and match[1] != "unknown error" else "handshake failed"
