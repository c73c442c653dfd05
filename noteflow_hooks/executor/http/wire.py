"""A connection, plain or TLS, whose every wait ends at one deadline."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from noteflow_hooks.executor.http.inbox import Inbox
from noteflow_hooks.executor.http.stream import Deadline, Stream
from noteflow_hooks.executor.http.tls import Tls

if TYPE_CHECKING:
    import socket
    import ssl


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

    @property
    def may_hold_answer(self) -> bool:
        """Whether something has come since the last request that can't be read, and may belong to an answer."""
        return self._tls is not None and self._tls.may_hold_answer

    def rest(self, seconds: float) -> None:
        """Leave the connection alone for so long, but not beyond the deadline."""
        time.sleep(min(seconds, self.deadline.remaining()))

    def inbox(self) -> Inbox:
        """Return a reader for one response. Closing it leaves the wire open."""
        return Inbox(self.recv_into)

    def close(self) -> None:
        """Close the socket."""
        self._stream.sock.close()
