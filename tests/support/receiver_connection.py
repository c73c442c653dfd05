"""The receiver's end of one connection, and what passes over it."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import threading
    from io import BufferedReader


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """One request, exactly as it came. ``connection`` counts the receiver's connections from 1."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    connection: int
    received_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    def header(self, name: str) -> str | None:
        """Return the first header of that name, in whatever case, or None."""
        return next((value for each, value in self.headers if each.lower() == name.lower()), None)


@dataclass(frozen=True, slots=True)
class Answer:
    """A well-formed answer."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b"ok"

    def encode(self) -> bytes:
        """Return it as it is sent, with its length."""
        lines = [f"HTTP/1.1 {self.status} Scripted", f"Content-Length: {len(self.body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body


class ReceiverConnection:
    """One connection, seen from the receiver."""

    def __init__(self, sock: socket.socket, *, number: int, closing: threading.Event) -> None:
        """``closing`` ends all waiting."""
        # An answer after TLS 1.3's tickets would otherwise wait 40 ms for the other side's delayed ACK.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self._number = number
        self._closing = closing
        self._file: BufferedReader | None = None

    def secure(self, context: ssl.SSLContext) -> None:
        """Speak TLS from here on."""
        secured = context.wrap_socket(self.sock, server_side=True, do_handshake_on_connect=False)
        self.sock = secured
        secured.do_handshake()

    def read_request(self) -> ReceivedRequest | None:
        """Return the next request, or None where the other side has closed."""
        self._file = file = self._file or self.sock.makefile("rb")
        first = file.readline().decode("ascii")
        if not first:
            return None
        method, target, _ = first.split(" ")
        lines = iter(lambda: file.readline().decode("latin-1").rstrip("\r\n"), "")
        headers = tuple((name, value.strip()) for name, _, value in (line.partition(":") for line in lines))
        length = next((value for name, value in headers if name.lower() == "content-length"), "0")
        return ReceivedRequest(method, target, headers, file.read(int(length)), self._number)

    def peek(self) -> None:
        """Return once the next request has begun, or the connection has ended."""
        if self._file is not None:
            self._file.peek(1)

    def send(self, data: bytes) -> None:
        """Send it."""
        self.sock.sendall(data)

    def send_beneath(self, data: bytes) -> None:
        """Send it past TLS, as no record of it."""
        os.write(self.sock.fileno(), data)

    def end_tls(self) -> None:
        """Say properly that no more comes; a plain connection has no such word."""
        if isinstance(self.sock, ssl.SSLSocket):
            self.sock.unwrap()

    def trickle(self, data: bytes, *, every_s: float = 0.05) -> None:
        """Send it byte by byte, for ever from its start again."""
        while True:
            for index in range(len(data)):
                self.send(data[index : index + 1])
                self.pause(every_s)

    def pause(self, seconds: float) -> None:
        """Do nothing for a while, and break off when the receiver is closed."""
        if self._closing.wait(seconds):
            raise ConnectionAbortedError

    def wait_for_end(self) -> None:
        """Take whatever comes until the other side has closed."""
        while self.sock.recv(65_536):
            pass

    def reset(self) -> None:
        """End the connection with an RST instead of a FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.close()

    def hang_up(self) -> None:
        """Wake whoever waits on the connection."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close it."""
        if self._file is not None:
            self._file.close()
        self.sock.close()


#: Answers with bytes of its own making; the connection is closed when it returns.
Behaviour: TypeAlias = Callable[[ReceiverConnection], None]
#: Each answers one request; the last one answers all that follow.
Script: TypeAlias = Answer | Behaviour
