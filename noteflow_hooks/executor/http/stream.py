"""A connected socket whose every wait ends at one deadline, in threads or under gevent.

Each wait gets what is left of the exchange's time. A timeout that is set once would start anew with each byte that
trickles in.
"""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from noteflow_hooks.executor.http.faults import timed_out

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

#: Only Linux has it.
_QUICKACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)
#: The most bytes read from a socket at once: about one TLS record.
_PIECE: Final = 16_384


@dataclass(frozen=True, slots=True)
class Deadline:
    """The moment at which an exchange is over, by a monotonic clock."""

    #: A reading of ``monotonic``, in seconds.
    at: float
    monotonic: Callable[[], float]

    def remaining(self) -> float:
        """Return the seconds that are left, always above 0; raise ExchangeError for a timeout where none are."""
        left = self.at - self.monotonic()
        if left <= 0:
            raise timed_out()
        return left


class Stream:
    """A connected socket whose every wait ends at the deadline."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        """Take over the socket."""
        self.sock = sock
        #: Replaced at each new exchange.
        self.deadline = deadline
        #: Whether anything was read since the last request.
        self._has_waited = False
        #: What was to be sent at once and would have had to wait; it goes out before anything is waited for.
        self._unsent: memoryview | None = None

    def sendall(self, data: bytes | memoryview) -> None:
        """Send all the data."""
        self._has_waited = False
        sent = self._within(self.sock.send, data)
        if sent < len(data):
            rest = memoryview(data)[sent:]
            while rest:
                rest = rest[self._within(self.sock.send, rest) :]

    def send_now(self, data: bytes) -> None:
        """Send what goes without waiting; the rest goes out as soon as something is to be received."""
        self._has_waited = False
        self.sock.settimeout(0)
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self._unsent = memoryview(data)[sent:]

    def receive(self) -> bytes:
        """Return some of what has come, at least a byte; nothing means that the other side has closed."""
        self._get_ready()
        return self._within(self.sock.recv, _PIECE)

    def recv_into(self, buffer: memoryview) -> int:
        """Read what has come, at least a byte; 0 means that the other side has closed."""
        self._get_ready()
        return self._within(self.sock.recv_into, buffer)

    def has_input(self) -> bool:
        """Tell at once whether there is something to read, or the end."""
        self.sock.settimeout(0)
        try:
            self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            # A broken connection has ended, too.
            return True
        return True

    def _get_ready(self) -> None:
        """Send what is unsent; acknowledge what has come, without the 40 ms by which the kernel delays it.

        A server that writes its answer in small pieces, with Nagle's algorithm on, sends the second piece when the
        first is acknowledged. Linux drops this option after the next piece, so it is set again each time. Most answers
        come in one piece and need none of this.
        """
        if self._unsent is not None:
            rest, self._unsent = self._unsent, None
            # The receiver may have answered and closed before it had all of it.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.sendall(rest)
        if self._has_waited and _QUICKACK is not None:
            self.sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        self._has_waited = True

    def _within(self, operation: Callable[..., T], given: Any) -> T:  # noqa: ANN401 - the call's own
        # Each call waits once, and no longer than for what is left of the exchange's time.
        self.sock.settimeout(self.deadline.remaining())
        try:
            return operation(given)
        except TimeoutError as error:
            # The network's own timeout has an errno, and is another error.
            raise error if error.errno is not None else timed_out() from error
