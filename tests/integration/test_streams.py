"""A stream sends what goes at once, and the rest before it waits for anything."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from typing import Any

from noteflow_hooks.executor.http.stream import Deadline, Stream
from noteflow_hooks.executor.http.tls import Tls
from tests.support.waiting import PATIENCE_S

DATA = bytes(range(256)) * 8192


def a_stream(sock: socket.socket) -> Stream:
    return Stream(sock, Deadline(time.monotonic() + PATIENCE_S, time.monotonic))


def received(sock: socket.socket, count: int) -> bytes:
    parts = b""
    while len(parts) < count and (part := sock.recv(65_536)):
        parts += part
    return parts


def test_what_the_other_side_has_no_room_for_goes_out_before_the_next_wait() -> None:
    """Sending returns although nobody reads; receiving sends the rest first."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        stream, got = a_stream(ours), list[bytes]()
        stream.send_now(DATA)

        def answer() -> None:
            got.append(received(theirs, len(DATA)))
            theirs.sendall(b"ok")

        other = threading.Thread(target=answer)
        other.start()
        assert stream.receive() == b"ok"
        other.join()
    assert got == [DATA]


def test_an_answer_to_half_a_request_is_read_although_the_rest_is_refused() -> None:
    """The receiver has seen enough, answers and closes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    with ours:
        stream = a_stream(ours)
        # More than any buffer has room for.
        stream.send_now(DATA * 8)
        theirs.sendall(b"enough")
        theirs.close()
        assert stream.receive() == b"enough"


class Renegotiating:
    """OpenSSL's connection at a moment at which the other side wants to negotiate anew before it takes anything."""

    def __init__(self) -> None:
        """It wants so once."""
        self.written: list[bytes] = []
        self._wants = True

    def write(self, data: bytes) -> int:
        """Take the data, but for the first time."""
        if self._wants:
            self._wants = False
            raise ssl.SSLWantReadError
        self.written.append(data)
        return len(data)

    def pending(self) -> int:
        """Hold an answer."""
        return 1

    def read(self, *_: Any) -> bytes:  # noqa: ANN401 - as OpenSSL takes it
        """Return it."""
        return b"ok"


def test_a_request_that_renegotiation_keeps_from_going_out_at_once_goes_out_later() -> None:
    """Python's own server can't renegotiate, and openssl's does so only in mid-exchange; so OpenSSL is replaced."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        tls: Any = Tls(a_stream(ours), ssl.create_default_context(), "localhost")
        tls._tls = openssl = Renegotiating()  # noqa: SLF001 - as the docstring says
        tls.send_now(b"request")
        assert openssl.written == []
        theirs.sendall(b"a record")
        assert tls.receive() == b"ok"
    assert openssl.written == [b"request"]
