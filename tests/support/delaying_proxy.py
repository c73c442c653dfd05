"""A stretch of network for tests: a proxy on loopback that hands everything on later, the end of a connection too."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from types import TracebackType

_PIECE: Final = 65_536


class DelayingProxy:
    """Hands on what comes, in both directions, after half of a round trip. Use it as a context manager."""

    def __init__(self, port: int, *, round_trip_s: float) -> None:
        """``port`` is where it leads to, on loopback."""
        self._target = port
        self._delay_s = round_trip_s / 2
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, name="delaying-proxy", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sock in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def url(self, path: str = "/") -> str:
        """Return the address of a path behind it."""
        return f"http://127.0.0.1:{self.port}{path}"

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [near, far]
                for source, sink in ((near, far), (far, near)):
                    sink.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self._join(source, sink)

    def _join(self, source: socket.socket, sink: socket.socket) -> None:
        on_its_way: queue.Queue[tuple[float, bytes]] = queue.Queue()

        def take() -> None:
            data = b"more"
            while data:
                try:
                    data = source.recv(_PIECE)
                except OSError:
                    data = b""
                on_its_way.put((time.monotonic() + self._delay_s, data))

        def hand_on() -> None:
            data = b"more"
            with contextlib.suppress(OSError):
                while data:
                    due, data = on_its_way.get()
                    time.sleep(max(0.0, due - time.monotonic()))
                    sink.sendall(data)
                sink.shutdown(socket.SHUT_WR)

        for work in (take, hand_on):
            threading.Thread(target=work, name="delaying-proxy", daemon=True).start()
