"""A connection, plain or TLS, whose every wait ends at one deadline."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from noteflow_hooks.executor.http.stream import Stream
from noteflow_hooks.executor.http.tls import Tls

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable

    from noteflow_hooks.executor.http.stream import Deadline


class Wire:
    """A connection, plain or TLS."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        """Take over a connected socket; every wait ends at the deadline."""
        #: The bytes on the socket, encrypted if this speaks TLS. Each exchange sets its own deadline here.
        self.stream = Stream(sock, deadline)
        #: Sends all of what it is given before the deadline.
        self.sendall: Callable[[bytes], None] = self.stream.sendall
        #: Sends what goes without waiting; what is left goes out before the next wait. It may raise what sending does.
        self.send_now: Callable[[bytes], None] = self.stream.send_now
        #: Returns some of what has come, at least a byte; nothing means that the other side has closed.
        self.receive: Callable[[], bytes] = self.stream.receive
        #: Reads what has come, at least a byte, and returns how much; 0 means that the other side has closed.
        self.recv_into: Callable[[memoryview], int] = self.stream.recv_into
        #: Tells at once whether there is something to read, or the end.
        self.has_input: Callable[[], bool] = self.stream.has_input
        self._tls: Tls | None = None

    def secure(self, context: ssl.SSLContext, server_name: str) -> None:
        """Speak TLS from here on; raise ssl.SSLError unless the certificate is valid for that name."""
        stream = self.stream
        tls = Tls(stream, context, server_name)
        tls.shake_hands()
        self._tls = tls
        self.sendall, self.receive, self.recv_into = tls.sendall, tls.receive, tls.recv_into
        self.send_now = tls.send_now
        self.has_input = lambda: tls.has_input() or stream.has_input()

    @property
    def may_hold_answer(self) -> bool:
        """Whether something has come since the last request that can't be read yet and may belong to an answer."""
        return self._tls is not None and self._tls.may_hold_answer

    def now(self) -> float:
        """Return the moment, by the deadline's clock."""
        return self.stream.deadline.monotonic()

    def rest(self, seconds: float) -> None:
        """Wait for so long without reading, but not beyond the deadline."""
        time.sleep(min(seconds, self.stream.deadline.remaining()))

    def close(self) -> None:
        """Close the socket."""
        self.stream.sock.close()
