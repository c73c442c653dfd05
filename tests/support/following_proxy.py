"""What HAProxy does before Redis: one address that leads to whichever server a Sentinel calls the primary."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Any, Self

import redis

if TYPE_CHECKING:
    from types import TracebackType


class FollowingProxy:
    """Hands on each connection to the primary of the moment; use it as a context manager."""

    def __init__(self, sentinel: str, name: str) -> None:
        host, _, port = sentinel.rpartition(":")
        self._sentinel = redis.Redis(host=host, port=int(port), decode_responses=True)
        self._name = name
        self._listener = socket.create_server(("127.0.0.1", 0))
        #: What programs are told.
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, name="following-proxy", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _end(self._listener)
        self._sentinel.close()

    def primary(self) -> int:
        """Return the primary's port."""
        found: Any = self._sentinel.sentinel_get_master_addr_by_name(self._name)
        return int(found[1])

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self.primary()))
                except (OSError, redis.RedisError):
                    client.close()
                    continue
                for one, other in ((client, server), (server, client)):
                    threading.Thread(target=_hand_on, args=(one, other), daemon=True).start()


def _hand_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    for each in (source, target):
        _end(each)


def _end(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()
