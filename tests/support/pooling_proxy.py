"""A pooler of transactions for tests, as PgBouncer's ``pool_mode = transaction``: each gets whichever session is free.

It tracks no prepared statements, and tells sessions nothing of what their clients ask for at their start.
"""

from __future__ import annotations

import contextlib
import os
import queue
import select
import socket
import struct
import threading
from typing import TYPE_CHECKING, Final, Self

import psycopg

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

_PIECE: Final = 65_536
#: What a client may ask for before it starts: TLS, and Kerberos' encryption.
_ENCRYPTIONS: Final = (80877103, 80877104)
_REPORTED: Final = ("server_version", "client_encoding", "standard_conforming_strings", "integer_datetimes", "TimeZone")
_MADE_UP_PID: Final = 7


class PoolingProxy:
    """Hands transactions on to a few sessions, in turn. Use it as a context manager."""

    def __init__(self, database_url: str, *, sessions: int = 3, ignores_options: bool = True) -> None:
        """Without ``ignores_options`` who tells its session something is refused, as PgBouncer does by default."""
        self._target = database_url.replace("+psycopg", "")
        self._ignores_options = ignores_options
        self._free: queue.Queue[_Session] = queue.Queue()
        self._count = sessions
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._clients: list[socket.socket] = []
        with psycopg.connect(self._target) as connection:
            info = connection.info
            #: What a client is told to reach it.
            self.url = f"postgresql://{info.user}@127.0.0.1:{self._listener.getsockname()[1]}/{info.dbname}"
            self._reports = [(name, info.parameter_status(name) or "") for name in _REPORTED]

    def __enter__(self) -> Self:
        for _ in range(self._count):
            self._free.put(_Session(self._target))
        threading.Thread(target=self._accept, name="pooling-proxy", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sock in (self._listener, *self._clients):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for _ in range(self._count):
            self._free.get(timeout=10).close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._clients.append(client)
                threading.Thread(target=self._serve, args=(client,), name="pooling-proxy", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        # The last is what select says of a client that is closed meanwhile.
        with contextlib.suppress(OSError, ValueError), client:
            if self._welcome(client):
                self._relay(client)

    def _welcome(self, client: socket.socket) -> bool:
        """Answer the client's start; return whether it may go on."""
        while True:
            [length, code] = struct.unpack("!ii", _exactly(client, 8))
            asked = _exactly(client, length - 8)
            if code not in _ENCRYPTIONS:
                break
            client.sendall(b"N")
        if b"options" in asked.split(b"\0")[::2] and not self._ignores_options:
            words = b"SFATAL\0C08P01\0Munsupported startup parameter: options\0\0"
            client.sendall(_message(b"E", words))
            return False
        reports = [_message(b"S", f"{name}\0{value}\0".encode()) for name, value in self._reports]
        key = _message(b"K", struct.pack("!ii", _MADE_UP_PID, 0))
        client.sendall(b"".join([_message(b"R", bytes(4)), *reports, key, _message(b"Z", b"I")]))
        return True

    def _relay(self, client: socket.socket) -> None:
        """Lend a session for each transaction, from its first message until the session says that it is idle."""
        near, lent, owed = _Messages(client), None, 0
        try:
            while True:
                ready, _, _ = select.select([client, *([lent.socket] if lent else [])], [], [])
                for kind, message in near.read() if client in ready else ():
                    if kind == b"X":
                        return
                    lent = lent or self._free.get()
                    owed += kind in (b"Q", b"S")
                    lent.socket.sendall(message)
                for kind, message in lent.messages.read() if lent and lent.socket in ready else ():
                    client.sendall(message)
                    owed -= kind == b"Z"
                    if lent and kind == b"Z" and not owed and message.endswith(b"I"):
                        self._free.put(lent)
                        lent = None
        finally:
            if lent:
                # Its client has left it in mid-transaction.
                lent.close()
                self._free.put(_Session(self._target))


class _Session:
    """A connection to PostgreSQL that libpq has made, and that we read and write from then on."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        self.socket = socket.socket(fileno=os.dup(self._connection.fileno()))
        self.socket.settimeout(None)
        self.messages = _Messages(self.socket)

    def close(self) -> None:
        """End it."""
        self.socket.close()
        self._connection.close()


class _Messages:
    """Cuts what comes over a socket into whole messages."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._left = b""

    def read(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield what has come: kinds, and the whole messages; raise ConnectionError at the end."""
        came = self._socket.recv(_PIECE)
        if not came:
            raise ConnectionError
        self._left += came
        while len(self._left) >= 5:
            end = 1 + struct.unpack("!i", self._left[1:5])[0]
            if len(self._left) < end:
                return
            message, self._left = self._left[:end], self._left[end:]
            yield message[:1], message


def _exactly(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        came = sock.recv(count - len(data))
        if not came:
            raise ConnectionError
        data += came
    return data


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body
