"""As much of HTTP/2 as prepared gRPC calls need (RFC 9113), so that a client takes next to none of the processor.

grpcio's own client takes half a millisecond to send a call, which would be measured as the system's. Heads are sent as
literals, which need no table, and those that come are not read: a call without an answer has failed.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from typing import TYPE_CHECKING, Final, Self

from noteflow_hooks.errors import NoteFlowHooksError
from noteflow_hooks.local.addresses import host_and_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_ACK = _END_STREAM = 1
_END_HEADERS: Final = 4
_FRAME_HEAD: Final = 9
#: How many bytes each side may send before the other one allows more.
_FIRST_WINDOW: Final = 65_535
_WIDEST_WINDOW: Final = 2**31 - 1
#: What gRPC puts before each message: whether it is compressed, and its length.
_PREFIX: Final = 5
_INITIAL_WINDOW_SIZE: Final = 4
_PATIENCE_S: Final = 30.0


def head(method: str, *, token: str) -> bytes:
    """Return the head of a call of a method, as HTTP/2 names it, for :meth:`Connection.start`."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": method,
        ":authority": "localhost",
        "te": "trailers",
        "content-type": "application/grpc",
        "authorization": f"Bearer {token}",
    }
    return b"".join(b"\0" + _text(name) + _text(value) for name, value in fields.items())


class Connection:
    """One connection, over which one thread makes calls. It is a context manager that closes itself."""

    def __init__(self, server: str) -> None:
        """Connect to ``HOST:PORT``; raise NoteFlowHooksError where no server answers."""
        try:
            self._socket = socket.create_connection(host_and_port(server) or ("", 0), timeout=_PATIENCE_S)
        except OSError:
            raise NoteFlowHooksError(f"no server answers at {server}") from None
        self._socket.settimeout(None)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sends = threading.Lock()
        self._changed = threading.Condition()
        self._window = _FIRST_WINDOW
        self._next = 1
        self._parts: dict[int, bytes] = {}
        self._answers: dict[int, bytes] = {}
        self._is_ready = self._is_over = False
        windows = _frame(_SETTINGS, struct.pack(">HI", _INITIAL_WINDOW_SIZE, _WIDEST_WINDOW))
        self._send(_PREFACE + windows + _frame(_WINDOW_UPDATE, struct.pack(">I", _WIDEST_WINDOW - _FIRST_WINDOW)))
        threading.Thread(target=self._read, daemon=True).start()
        with self._changed:
            self._await(lambda: self._is_ready)

    def start(self, head: bytes, message: bytes) -> int:
        """Begin a call with what :func:`head` returned and a message, in one piece; return its number."""
        body = bytes(1) + len(message).to_bytes(_PREFIX - 1, "big") + message
        with self._changed:
            self._await(lambda: self._window >= len(body))
            self._window -= len(body)
        number, self._next = self._next, self._next + 2
        self._send(
            _frame(_HEADERS, head, flags=_END_HEADERS, stream=number)
            + _frame(_DATA, body, flags=_END_STREAM, stream=number)
        )
        return number

    def answer(self, number: int) -> bytes:
        """Wait for a call's answer and return its message; raise NoteFlowHooksError if it fails."""
        with self._changed:
            self._await(lambda: number in self._answers)
            answer = self._answers.pop(number)
        if len(answer) < _PREFIX:
            raise NoteFlowHooksError("a call was refused")
        return answer[_PREFIX:]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The reading thread ends with it.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _await(self, is_so: Callable[[], bool]) -> None:
        """Wait, with the lock held, until it is so."""
        if not self._changed.wait_for(lambda: is_so() or self._is_over, _PATIENCE_S) or not is_so():
            raise NoteFlowHooksError("the server has closed the connection, or does not answer")

    def _send(self, frames: bytes) -> None:
        with self._sends:
            self._socket.sendall(frames)

    def _read(self) -> None:
        data = b""
        # Where either side has closed it, whoever waits is told below.
        with contextlib.suppress(OSError):
            while piece := self._socket.recv(_FIRST_WINDOW):
                data = self._taken(data + piece)
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def _taken(self, data: bytes) -> bytes:
        """Take the frames that are complete and return the rest."""
        while len(data) >= _FRAME_HEAD and len(data) >= (end := _FRAME_HEAD + int.from_bytes(data[:3], "big")):
            self._take(data[3], data[4], int.from_bytes(data[5:_FRAME_HEAD], "big"), data[_FRAME_HEAD:end])
            data = data[end:]
        return data

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind in (_SETTINGS, _PING) and not flags & _ACK:
            self._send(_frame(kind, payload if kind == _PING else b"", flags=_ACK))
        with self._changed:
            if kind == _DATA:
                self._parts[stream] = self._parts.get(stream, b"") + payload
            if kind == _WINDOW_UPDATE and stream == 0:
                self._window += int.from_bytes(payload, "big")
            if kind == _RST_STREAM or (kind in (_DATA, _HEADERS) and flags & _END_STREAM):
                self._answers[stream] = self._parts.pop(stream, b"")
            self._is_ready = self._is_ready or kind == _SETTINGS
            self._is_over = self._is_over or kind == _GOAWAY
            self._changed.notify_all()


def _frame(kind: int, payload: bytes = b"", *, flags: int = 0, stream: int = 0) -> bytes:
    """Return a frame's bytes (RFC 9113, section 4.1)."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def _text(text: str) -> bytes:
    """Return a literal of less than 127 bytes (RFC 7541, section 5.2)."""
    return bytes([len(text)]) + text.encode()
