"""A real CONNECT proxy on loopback, which keeps what it is asked. Whatever name it is given, it leads to 127.0.0.1.

with ConnectProxy() as proxy:
    ...  # something that reaches https://any.example:port/ through proxy.url()
    [asked] = proxy.asked
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Self

from tests.support.receiver import Receiver

if TYPE_CHECKING:
    from tests.support.receiver_connection import Behaviour, ReceivedRequest, ReceiverConnection


class ConnectProxy:
    """The proxy; use it as a context manager."""

    def __init__(self, *, authorization: str | None = None, behaviour: Behaviour | None = None) -> None:
        """Ask for that ``Proxy-Authorization``; ``behaviour`` answers requests in place of a tunnel."""
        self._authorization = authorization
        self._behaviour = behaviour
        self._receiver = Receiver(greeting=self._serve)
        self.port = self._receiver.port
        #: All requests so far, in the order in which they came.
        self.asked: list[ReceivedRequest] = []

    def __enter__(self) -> Self:
        self._receiver.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._receiver.__exit__(None, None, None)

    @property
    def connections(self) -> int:
        """How many connections were opened so far."""
        return self._receiver.connections

    def url(self, *, user: str = "", host: str = "127.0.0.1") -> str:
        """Return its address as a setting names it; ``user`` is ``name:password``."""
        return f"http://{user}{'@' if user else ''}{host}:{self.port}"

    def _serve(self, connection: ReceiverConnection) -> None:
        request = connection.read_request()
        if request is None:
            return
        self.asked.append(request)
        if self._behaviour is not None:
            self._behaviour(connection)
        elif self._authorization not in (None, request.header("Proxy-Authorization")):
            connection.send(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n")
        else:
            _join(connection, int(request.target.rpartition(":")[2]))


def _join(connection: ReceiverConnection, port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as upstream:
        # With a header or two, as proxies have them.
        connection.send(b"HTTP/1.1 200 Connection established\r\nVia: 1.1 proxy\r\n\r\n")
        answers = threading.Thread(target=_pump, args=(upstream, connection.sock), name="tunnel", daemon=True)
        answers.start()
        _pump(connection.sock, upstream)
        answers.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
