"""What a client must do to be compared: one connection, one POST at a time, an answer. Ours, and one without HTTP."""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol
from uuid import UUID

from typing_extensions import override

from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.executor.http.connections import Connection, Route
from noteflow_hooks.executor.http.faults import ExchangeError, protocol
from noteflow_hooks.executor.http.wire import Wire

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Mapping

    from noteflow_hooks.executor.http.stream import Deadline

#: The most bytes that a client reads at once.
PIECE: Final = 16_384
_NOBODY: Final = UUID(int=0)


@dataclass(frozen=True)
class Place:
    """A receiver on this machine; ``context`` is for TLS, or None."""

    port: int
    context: ssl.SSLContext | None = None
    host: str = "localhost"


class Answer(Protocol):
    """What :func:`noteflow_hooks.executor.outcome.answered` reads of an answer, and whether to keep its connection."""

    #: The final status.
    status: int

    @property
    def is_reusable(self) -> bool:
        """Whether the library says, once the body is read, that the connection may carry another request."""
        ...

    def header(self, name: str) -> str | None:
        """Return the header's first value; its name is given in lower case."""
        ...

    def read_body(self, *, keep: int) -> bytes:
        """Read to the body's end, the limit or the deadline; return the first ``keep`` bytes."""
        ...


class Client(ABC):
    """One connection, over which one POST at a time is made."""

    @abstractmethod
    def __init__(self, place: Place, deadline: Deadline) -> None:
        """Connect."""

    @abstractmethod
    def post(self, target: str, headers: Mapping[str, str], body: bytes, deadline: Deadline) -> Answer:
        """Make the POST and return the answer with its head read."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection."""


class Ours(Client):
    """The project's own reader."""

    def __init__(self, place: Place, deadline: Deadline) -> None:
        route = Route(_NOBODY, "https" if place.context else "http", place.host, place.port)
        self._connection = Connection(route, dialled(place, deadline), deadline)
        if place.context is not None:
            self._connection.secure(place.context)

    @override
    def post(self, target: str, headers: Mapping[str, str], body: bytes, deadline: Deadline) -> Answer:
        return self._connection.post(head_of(target, headers) + body, deadline)

    @override
    def close(self) -> None:
        self._connection.close()


class Bare(Client, Answer):
    """No HTTP at all: what sending and receiving alone cost. Only for an answer that comes in one piece."""

    def __init__(self, place: Place, deadline: Deadline) -> None:
        self._socket = dialled(place, deadline)
        self.status = 200

    @override
    def post(self, target: str, headers: Mapping[str, str], body: bytes, deadline: Deadline) -> Answer:
        self._socket.settimeout(deadline.remaining())
        self._socket.sendall(head_of(target, headers) + body)
        self._socket.settimeout(deadline.remaining())
        self._socket.recv(PIECE)
        return self

    @property
    @override
    def is_reusable(self) -> bool:
        return True

    @override
    def header(self, name: str) -> str | None:
        del name
        return None

    @override
    def read_body(self, *, keep: int) -> bytes:
        return b"ok"[:keep]

    @override
    def close(self) -> None:
        self._socket.close()


class OverWire(Client):
    """A client that gets its bytes from the project's own connection."""

    def __init__(self, place: Place, deadline: Deadline) -> None:
        self.wire = Wire(dialled(place, deadline), deadline)
        self._buffer = memoryview(bytearray(PIECE))
        #: How many bytes have come, and how many of them came before the present head.
        self.received, self.head_start = 0, 0
        if place.context is not None:
            self.wire.secure(place.context, place.host)

    def send(self, request: bytes, deadline: Deadline) -> None:
        """Send a whole request; the receiver may answer and close before its end."""
        self.wire.stream.deadline = deadline
        self.head_start = self.received
        with suppress(BrokenPipeError, ConnectionResetError):
            self.wire.sendall(request)

    def came(self) -> bytes:
        """Return what has come, at least one byte; no bytes mean that the other side has closed."""
        data = bytes(self._buffer[: self.wire.recv_into(self._buffer)])
        self.received += len(data)
        return data

    @property
    def head_size(self) -> int:
        """The bytes of the head so far."""
        return self.received - self.head_start

    def no_head(self) -> ExchangeError:
        """Return the error for a missing or malformed head."""
        return protocol("no head") if self.head_size else ExchangeError(ErrorKind.CONNECT, "closed")

    @override
    def close(self) -> None:
        self.wire.close()


def dialled(place: Place, deadline: Deadline) -> socket.socket:
    """Return a socket that is connected to the place."""
    sock = socket.create_connection(("127.0.0.1", place.port), timeout=deadline.remaining())
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def head_of(target: str, headers: Mapping[str, str]) -> bytes:
    """Return a POST's head."""
    lines = [f"POST {target} HTTP/1.1", *[f"{name}: {value}" for name, value in headers.items()]]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def first_of(headers: Iterable[tuple[bytes, bytes]], name: str) -> str | None:
    """Return a header's first value; names are in lower case."""
    wanted = name.encode()
    return next((value.decode("latin-1") for each, value in headers if each == wanted), None)
