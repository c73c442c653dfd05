"""TLS over a stream, a piece at a time.

OpenSSL never sees the socket. With a socket, one call goes on for as long as records without data come, such as session
tickets or requests to renegotiate: past every deadline, and under gevent with everything else standing still. We feed
it by hand, so that a call ends when it has used up what it was fed, and we look at the clock between two calls.
"""

from __future__ import annotations

import contextlib
import ssl
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.executor.http.faults import ExchangeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from noteflow_hooks.executor.http.stream import Stream

T = TypeVar("T")

#: The most bytes that may come during a handshake, or before the next byte of an answer. The longest chain of
#: certificates that OpenSSL takes is 100 KB; a record is 16 KB.
FED_LIMIT: Final = 262_144
#: The most bytes that are encrypted at once.
_PIECE: Final = 65_536
#: The most bytes of data in a record.
_RECORD: Final = 16_384


class Tls:
    """The client's end of one TLS connection."""

    def __init__(self, stream: Stream, context: ssl.SSLContext, server_name: str) -> None:
        """Prepare for a handshake with that server over the stream."""
        self._stream = stream
        self._came, self._goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._came, self._goes, server_hostname=server_name)
        #: How many bytes have come since the last request, TLS's own included.
        self._fed = 0
        #: What was to be sent at once, and the other side wants to say something before.
        self._unwritten: bytes | None = None

    def shake_hands(self) -> None:
        """Do the handshake; raise ssl.SSLError unless the certificate is valid for the server's name."""
        self._run(self._tls.do_handshake)

    def sendall(self, data: bytes) -> None:
        """Encrypt and send all of it."""
        self._fed = 0
        if len(data) <= _PIECE:
            self._run(self._tls.write, data)
            return
        for start in range(0, len(data), _PIECE):
            self._run(self._tls.write, data[start : start + _PIECE])

    def send_now(self, data: bytes) -> None:
        """Encrypt and send what goes without waiting; what is left goes out before the next wait."""
        self._fed = 0
        try:
            self._tls.write(data)
        except ssl.SSLWantReadError:
            self._unwritten = data
        else:
            self._stream.send_now(self._goes.read())

    def receive(self) -> bytes:
        """Return an answer's beginning, at least a byte; nothing means that the other side has ended it."""
        if self._unwritten is not None:
            data, self._unwritten = self._unwritten, None
            self.sendall(data)
        if not self.has_input():
            # To ask OpenSSL first would cost an error that says the same.
            self._feed()
        return self._read(_RECORD) or b""

    def recv_into(self, buffer: memoryview) -> int:
        """Read what has come, at least a byte; 0 means that the other side has ended TLS or the connection."""
        # Given a buffer, it returns a count; its type stubs don't know that.
        return cast("int", self._read(len(buffer), buffer)) or 0

    def _read(self, *given: Any) -> bytes | None:  # noqa: ANN401 - the call's own
        try:
            read = self._run(self._tls.read, *given)
        except ssl.SSLEOFError:
            # The connection ended without TLS's close_notify, as with most servers. The framing tells whether the
            # answer is complete.
            return None
        if not read and not self._came.eof:
            # TLS's close_notify: nothing of what came is left over. At the connection's end Python 3.11.2 reads
            # nothing, too, where later ones raise as above, whatever is left.
            self._fed = 0
        return read

    @property
    def may_hold_answer(self) -> bool:
        """Whether bytes have come since the last request that may be part of an answer's first record."""
        return self._fed > 0

    def has_input(self) -> bool:
        """Tell whether something has come from the stream and was not read yet."""
        return bool(self._tls.pending() or self._came.pending)

    def _run(self, operation: Callable[..., T], *given: Any) -> T:  # noqa: ANN401 - the call's own
        fed = 0
        while True:
            try:
                done = operation(*given)
            except ssl.SSLWantReadError:
                self._flush()
            except ssl.SSLError:
                # Tell the other side why, if it still listens.
                with contextlib.suppress(OSError, ExchangeError):
                    self._flush()
                raise
            else:
                self._flush()
                return done
            if fed >= FED_LIMIT:
                raise ExchangeError(ErrorKind.TLS, "TLS error: too much that carries nothing")
            fed += self._feed()

    def _flush(self) -> None:
        if self._goes.pending:
            self._stream.sendall(self._goes.read())

    def _feed(self) -> int:
        data = self._stream.receive()
        self._fed += len(data)
        if data:
            self._came.write(data)
        else:
            self._came.write_eof()
        return len(data)
