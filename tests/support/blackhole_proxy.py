"""A real TCP proxy on loopback that can swallow all that the server says, as a black hole does, and cut connections.

with BlackholeProxy("127.0.0.1:50051") as proxy:
    ...  # something that speaks with proxy.address
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Self

from noteflow_hooks.local.addresses import host_and_port
from tests.support.receiver import Receiver

if TYPE_CHECKING:
    from tests.support.receiver_connection import ReceiverConnection


class BlackholeProxy:
    """The proxy; use it as a context manager."""

    def __init__(self, target: str) -> None:
        """``target`` is ``host:port``."""
        self._target = target
        self._doors = Receiver(greeting=self._join)
        self._swallows = False
        self._joined: list[socket.socket] = []

    def __enter__(self) -> Self:
        self._doors.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._doors.__exit__(None, None, None)

    @property
    def address(self) -> str:
        """Its own ``host:port``."""
        return f"127.0.0.1:{self._doors.port}"

    def swallow(self) -> None:
        """Swallow what the server says from now on."""
        self._swallows = True

    def cut(self) -> None:
        """End all connections, and let those that come after them speak."""
        for each in self._joined:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._joined.clear()
        self._swallows = False

    def _join(self, connection: ReceiverConnection) -> None:
        with socket.create_connection(host_and_port(self._target) or ("", 0)) as server:
            self._joined += [connection.sock, server]
            answers = threading.Thread(
                target=self._pump, args=(server, connection.sock), kwargs={"back": True}, daemon=True
            )
            answers.start()
            self._pump(connection.sock, server, back=False)
            answers.join()

    def _pump(self, source: socket.socket, sink: socket.socket, *, back: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                if not (back and self._swallows):
                    sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
