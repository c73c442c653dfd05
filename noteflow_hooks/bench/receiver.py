"""A receiver that uses little processor time, since it shares the machine with what is measured.

It answers by the path: ``/ok…`` with 200, ``/fail…`` with 500, ``/hang…`` never; it counts the first kind only. It
takes commands as lines: ``reset`` forgets what came, ``count`` answers how many POSTs came, how many events they had,
and when the last one did, ``arrivals`` when each ``webhook-id`` first came, and ``release`` hangs up on all that wait
for an answer. Times are by the monotonic clock, which all processes of a machine share, in seconds.
"""

from __future__ import annotations

import argparse
import selectors
import socket
import ssl
import sys
import time
from typing import Final

from noteflow_hooks.bench.lines import say

_OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_ANSWERS: Final = {
    b"o": _OK,
    b"f": b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2\r\n\r\nno",
}
_START: Final = len(b"POST /")
_LENGTH: Final = b"content-length: "
_ID: Final = b"webhook-id: "
_BATCH: Final = b"x-noteflow-batch: "
_BACKLOG: Final = 2048
_PIECE: Final = 65_536


class _Connection:
    """One sender's connection."""

    __slots__ = ("data", "is_ready", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.data = b""
        self.is_ready = not isinstance(sock, ssl.SSLSocket)


class _Server:
    """Serves all connections and the standard input from one loop."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._selector = selectors.DefaultSelector()
        self._context = context
        self._posts = 0
        #: A batch has several.
        self._events = 0
        self._last = 0.0
        self._arrivals: dict[bytes, float] = {}
        self._hanging: list[_Connection] = []
        self.ports = [self._listen(is_tls=False)]
        if context is not None:
            self.ports.append(self._listen(is_tls=True))
        self._selector.register(sys.stdin, selectors.EVENT_READ, None)

    def run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if isinstance(key.data, _Connection):
                    self._serve(key.data)
                elif key.data is None:
                    if not self._obey(sys.stdin.readline().strip()):
                        return
                else:
                    self._accept(key.data[0], is_tls=key.data[1])

    def _listen(self, *, is_tls: bool) -> int:
        listener = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
        listener.settimeout(0)
        self._selector.register(listener, selectors.EVENT_READ, (listener, is_tls))
        port: int = listener.getsockname()[1]
        return port

    def _accept(self, listener: socket.socket, *, is_tls: bool) -> None:
        try:
            sock, _ = listener.accept()
        except BlockingIOError:
            return
        sock.settimeout(0)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if is_tls and self._context is not None:
            sock = self._context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        self._selector.register(sock, selectors.EVENT_READ, _Connection(sock))

    def _serve(self, connection: _Connection) -> None:
        try:
            if not connection.is_ready and isinstance(connection.sock, ssl.SSLSocket):
                connection.sock.do_handshake()
                connection.is_ready = True
            if piece := connection.sock.recv(_PIECE):
                connection.data = self._answered(connection, connection.data + piece if connection.data else piece)
                return
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except OSError:
            # A sender that breaks its connection has left, too.
            pass
        self._hang_up(connection)

    def _hang_up(self, connection: _Connection) -> None:
        if connection.sock.fileno() >= 0:
            self._selector.unregister(connection.sock)
            connection.sock.close()

    def _answered(self, connection: _Connection, data: bytes) -> bytes:
        """Answer the requests that are complete and return the rest."""
        while (end := data.find(b"\r\n\r\n")) >= 0:
            head = data[:end].lower()
            ends = end + 4 + int(head[head.index(_LENGTH) + len(_LENGTH) :].split(b"\r\n", 1)[0])
            if len(data) < ends:
                break
            answer = _ANSWERS.get(head[_START : _START + 1])
            if answer is _OK:
                self._note(head)
            if answer is None:
                self._hanging.append(connection)
            else:
                connection.sock.sendall(answer)
            data = data[ends:]
        return data

    def _note(self, head: bytes) -> None:
        self._posts += 1
        batch = head.find(_BATCH)
        self._events += 1 if batch < 0 else int(head[batch + len(_BATCH) :].split(b"\r\n", 1)[0])
        self._last = now = time.monotonic()
        at = head.find(_ID)
        if at >= 0:
            self._arrivals.setdefault(head[at + len(_ID) : at + len(_ID) + 36], now)

    def _obey(self, command: str) -> bool:
        answer: object = None
        if command == "reset":
            self._posts, self._events, self._last, self._arrivals = 0, 0, 0.0, {}
        elif command == "count":
            answer = {"posts": self._posts, "events": self._events, "distinct": len(self._arrivals), "last": self._last}
        elif command == "arrivals":
            answer = {key.decode("ascii"): at for key, at in self._arrivals.items()}
        elif command == "release":
            for connection in self._hanging:
                self._hang_up(connection)
            self._hanging = []
        else:
            return False
        say(answer)
        return True


def main() -> None:
    """Print the ports, the plain one first, and serve until the standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--certificate", help="a PEM file with a certificate and its key, for TLS on a second port")
    certificate = parser.parse_args().certificate
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    server = _Server(context)
    say(server.ports)
    server.run()


if __name__ == "__main__":
    main()
