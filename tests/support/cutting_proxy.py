"""A way to PostgreSQL for tests that breaks at the worst moment: a statement is committed, and its answer is lost."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from typing import TYPE_CHECKING, Final, Self

from psycopg.conninfo import conninfo_to_dict

if TYPE_CHECKING:
    from types import TracebackType

_PIECE: Final = 65_536


class CuttingProxy:
    """Hands on what comes in both directions, until it is told to cut. Use it as a context manager."""

    def __init__(self, database_url: str) -> None:
        """Lead to the database, over its socket."""
        target = conninfo_to_dict(database_url.replace("+psycopg", ""))
        self._socket = os.path.join(str(target["host"]), f".s.PGSQL.{target['port']}")  # noqa: PTH118 - a socket's address
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        #: What a client is told to reach it.
        self.url = f"postgresql+psycopg://{target['user']}@127.0.0.1:{port}/{target['dbname']}"
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._cuts = 0
        self._word = b""
        #: How many connections were cut.
        self.cut = 0

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, name="cutting-proxy", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sock in (self._listener, *self._sockets):
            _end(sock)

    def cut_at(self, word: bytes, *, times: int = 1) -> None:
        """Have the next answers that hold this be lost, and their connections end; so many times."""
        with self._lock:
            self._word, self._cuts = word, times

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(self._socket)
                self._sockets += [near, far]
                for source, sink, is_answer in ((near, far, False), (far, near, True)):
                    threading.Thread(target=self._hand_on, args=(source, sink, is_answer), daemon=True).start()

    def _hand_on(self, source: socket.socket, sink: socket.socket, is_answer: bool) -> None:  # noqa: FBT001 - a thread's
        with contextlib.suppress(OSError):
            while data := source.recv(_PIECE):
                if is_answer and self._is_cut(data):
                    break
                sink.sendall(data)
        _end(source)
        _end(sink)

    def _is_cut(self, data: bytes) -> bool:
        with self._lock:
            if self._cuts == 0 or self._word not in data:
                return False
            self._cuts -= 1
            self.cut += 1
            return True


def _end(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()
