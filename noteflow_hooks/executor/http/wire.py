"""A socket whose every wait ends at one deadline, whether it is plain or TLS, in threads or under gevent.

Each wait is given what is left of the exchange's time. A timeout that is set once would start anew with each byte that
trickles in.
"""

from __future__ import annotations

import io
import socket
import sys
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

from noteflow_hooks.executor.http.faults import timed_out
from noteflow_hooks.executor.http.tls import Tls

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

T = TypeVar("T")

#: The most bytes that are taken off a socket at once: about a TLS record.
_PIECE: Final = 16_384


class Deadline:
    """The moment at which an exchange is over, by a monotonic clock."""

    __slots__ = ("_at", "_monotonic")

    def __init__(self, at: float, monotonic: Callable[[], float]) -> None:
        """``at`` is a reading of ``monotonic``, in seconds."""
        self._at = at
        self._monotonic = monotonic

    def remaining(self) -> float:
        """Return the seconds that are left, always above 0; raise the error of a timeout where none are."""
        left = self._at - self._monotonic()
        if left <= 0:
            raise timed_out()
        return left


class Stream:
    """A connected socket whose every wait ends at the deadline."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        """Take over the socket."""
        self.sock = sock
        #: May be exchanged for the next exchange's.
        self.deadline = deadline

    def sendall(self, data: bytes) -> None:
        """Send all of it."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._within(self.sock.send, rest) :]

    def receive(self) -> bytes:
        """Return some of what has come, at least a byte; nothing means that the other side has closed."""
        return self._within(self.sock.recv, _PIECE)

    def recv_into(self, buffer: memoryview) -> int:
        """Read what has come, at least a byte; 0 means that the other side has closed."""
        return self._within(self.sock.recv_into, buffer)

    def has_input(self) -> bool:
        """Tell at once whether there is something to read, or the end."""
        self.sock.settimeout(0)
        try:
            self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            # Broken: the end, too.
            return True
        return True

    def _within(self, operation: Callable[..., T], given: Any) -> T:  # noqa: ANN401 - the call's own
        # Each call waits once, and no longer than for what is left of the exchange's time.
        self.sock.settimeout(self.deadline.remaining())
        try:
            return operation(given)
        except TimeoutError as error:
            # The network's own, with a number, is another error.
            raise error if error.errno is not None else timed_out() from error


class Wire:
    """A connection, plain or TLS."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        """Take over a connected socket; every wait ends at the deadline."""
        self._stream = Stream(sock, deadline)
        self._tls: Tls | None = None

    @property
    def deadline(self) -> Deadline:
        """When the exchange is over."""
        return self._stream.deadline

    @deadline.setter
    def deadline(self, deadline: Deadline) -> None:
        self._stream.deadline = deadline

    def secure(self, context: ssl.SSLContext, server_name: str) -> None:
        """Speak TLS from here on; raise ssl.SSLError unless the certificate is valid for that name."""
        self._tls = Tls(self._stream, context, server_name)
        self._tls.shake_hands()

    def sendall(self, data: bytes) -> None:
        """Send all of it before the deadline."""
        (self._tls or self._stream).sendall(data)

    def recv_into(self, buffer: memoryview) -> int:
        """Read what has come, at least a byte; 0 means that the other side has closed."""
        return (self._tls or self._stream).recv_into(buffer)

    def has_input(self) -> bool:
        """Tell at once whether there is something to read, or the end."""
        return (self._tls is not None and self._tls.has_input()) or self._stream.has_input()

    def rest(self, seconds: float) -> None:
        """Leave the connection alone for so long, but not beyond the deadline."""
        time.sleep(min(seconds, self.deadline.remaining()))

    def inbox(self) -> Inbox:
        """Return a reader for one response. Closing it leaves the wire open."""
        return Inbox(_Incoming(self))

    def close(self) -> None:
        """Close the socket."""
        self._stream.sock.close()


class _Incoming(io.RawIOBase):
    """The bytes that come in on a wire, up to an allowance."""

    def __init__(self, wire: Wire) -> None:
        super().__init__()
        self._wire = wire
        self.allowance = sys.maxsize
        #: Reads nothing and says "nothing yet", so that the buffer above can be looked at.
        self.paused = False
        #: Whether the other side has closed, or the allowance was used up.
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401 - any writable buffer, as io says
        if self.paused:
            return None
        room = memoryview(buffer)[: self.allowance]
        count = self._wire.recv_into(room) if room else 0
        self.allowance -= count
        self.ended = not count
        return count


class Inbox(io.BufferedReader):
    """Reads one response, and knows whether anything was left unread."""

    def __init__(self, incoming: _Incoming) -> None:
        """Read from ``incoming``."""
        super().__init__(incoming)
        self._incoming = incoming
        self._surplus = 0

    def allow(self, count: int) -> None:
        """Let at most ``count`` more bytes in, what is buffered already included; after them reads find the end."""
        self._incoming.allowance = max(0, count - self._buffered())

    def close(self) -> None:
        """Note what is left over, and close."""
        if not self.closed:
            self._surplus = self._buffered()
        super().close()

    @property
    def is_clean(self) -> bool:
        """Whether, once closed, all that came was read, and more could come."""
        return not (self._surplus or self._incoming.ended)

    def _buffered(self) -> int:
        self._incoming.paused = True
        count = len(self.peek())
        self._incoming.paused = False
        return count
