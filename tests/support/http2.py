"""HTTP/2 by hand, for what no gRPC client would send: half a frame, a flood of pings, a window that never opens."""

from __future__ import annotations

import select
import socket
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What a client begins with (RFC 9113, section 3.4).
PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
_ACK: Final = 1
_END_STREAM: Final = 1
_END_HEADERS: Final = 4


class Frame(NamedTuple):
    """One frame that came."""

    kind: int
    stream: int
    payload: bytes


def frame(kind: int, payload: bytes = b"", *, flags: int = 0, stream: int = 0) -> bytes:
    """Return a frame's bytes (RFC 9113, section 4.1)."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def settings(**values: int) -> bytes:
    """Return our settings; ``window`` is what a stream of ours may be sent unasked."""
    payload = struct.pack(">HI", 4, values["window"]) if "window" in values else b""
    return frame(SETTINGS, payload)


def head(path: str, *, token: str, stream: int = 1) -> bytes:
    """Return the head of a call that goes on; its fields are literals, which need no table (RFC 7541, 6.2.2)."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "localhost",
        "te": "trailers",
        "content-type": "application/grpc",
        "authorization": f"Bearer {token}",
    }
    block = b"".join(b"\0" + _text(name) + _text(value) for name, value in fields.items())
    return frame(HEADERS, block, flags=_END_HEADERS, stream=stream)


def reset(*, stream: int) -> bytes:
    """Return what ends a call at once."""
    return frame(RST_STREAM, bytes(4), stream=stream)


def message(data: bytes = b"", *, stream: int = 1) -> bytes:
    """Return a gRPC message that ends the caller's half of its stream."""
    return frame(DATA, b"\0" + struct.pack(">I", len(data)) + data, flags=_END_STREAM, stream=stream)


class RawConnection:
    """A connection to a server, and the frames that come over it."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._buffer = b""

    def send(self, *data: bytes) -> None:
        """Send these bytes."""
        self._socket.sendall(b"".join(data))

    def frames(self) -> Iterator[Frame]:
        """Yield what comes until the server closes the connection; TimeoutError where it stays silent for long."""
        while True:
            yield from self._whole_frames()
            try:
                data = self._socket.recv(65536)
            except ConnectionResetError:
                return
            if not data:
                return
            self._buffer += data

    def frames_at_hand(self, *, wait_s: float) -> Iterator[Frame]:
        """Yield what has come, or comes within so long, and no more."""
        while select.select([self._socket], [], [], wait_s)[0]:
            data = self._socket.recv(1 << 20)
            if not data:
                return
            self._buffer += data
            yield from self._whole_frames()
            wait_s = 0.0

    def last_words(self) -> bytes:
        """Return what the server says when it ends the connection."""
        return b"".join(each.payload[8:] for each in self.frames() if each.kind == GOAWAY)

    def _whole_frames(self) -> Iterator[Frame]:
        while len(self._buffer) >= 9 and len(self._buffer) >= (size := 9 + int.from_bytes(self._buffer[:3])):
            one, self._buffer = self._buffer[:size], self._buffer[size:]
            if one[3] == PING and not one[4]:
                # A server that ends a connection first asks whether all that it sent has come.
                self.send(frame(PING, one[9:], flags=_ACK))
            yield Frame(one[3], int.from_bytes(one[5:9]), one[9:])


@contextmanager
def raw_connection(address: str, *, timeout_s: float = PATIENCE_S) -> Iterator[RawConnection]:
    """Offer a connection to the server at ``host:port``."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=timeout_s) as connection:
        yield RawConnection(connection)


def _text(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()
