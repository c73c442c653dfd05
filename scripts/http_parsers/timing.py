"""The processor time that each client needs for a POST, measured in turn over kept connections."""

from __future__ import annotations

import multiprocessing
import re
import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from noteflow_hooks.executor.http.stream import Deadline
from scripts.http_parsers.client import Client, Place

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from multiprocessing.connection import Connection

_ROUNDS: Final = 121
_POSTS: Final = 150
_WARM_UP: Final = 300
_PATIENCE_S: Final = 30.0
_KEPT: Final = 4_096

_BODY: Final = (
    b'{"type":"meeting.completed","timestamp":"2026-01-01T12:00:00Z","data":' + b'{"title":"Weekly"}' * 12 + b"}"
)
#: The headers that the executor sends.
_HEADERS: Final = {
    "Host": "localhost:8443",
    "User-Agent": "NoteFlow-Hooks/0.1.0",
    "Accept-Encoding": "identity",
    "Content-Type": "application/json",
    "Content-Length": str(len(_BODY)),
    "X-NoteFlow-Event": "meeting.completed",
    "X-NoteFlow-Delivery": "01890a5d-ac96-774b-bcce-b302099a8057",
    "webhook-id": "01890a5d-ac96-774b-bcce-b302099a8057",
    "webhook-timestamp": "1767268800",
    "X-NoteFlow-Signature": "sha256=" + "0" * 64,
    "webhook-signature": "v1," + "A" * 44,
}
_FEW: Final = (
    "Server: nginx",
    "Date: Thu, 01 Jan 2026 12:00:00 GMT",
    "Content-Type: text/plain; charset=utf-8",
    "Connection: keep-alive",
    "Content-Length: 2",
)
#: As many headers as an answer through a content delivery network has.
_MANY: Final = (*_FEW, *[f"X-Header-{number}: {'value-of-it-' * 4}{number}" for number in range(17)])
#: The answers, by their number of headers.
ANSWERS: Final = {len(lines): "\r\n".join(["HTTP/1.1 200 OK", *lines, "", "ok"]).encode() for lines in (_FEW, _MANY)}


def times_us(kinds: Mapping[str, type[Client]], answer: bytes) -> dict[str, list[float]]:
    """Return each client's time a POST by round, in µs, user and system time together."""
    with _receiver(answer) as port:
        clients = {name: kind(Place(port), _deadline()) for name, kind in kinds.items()}
        for client in clients.values():
            _posted_s(client, _WARM_UP)
        taken: dict[str, list[float]] = {name: [] for name in clients}
        for number in range(_ROUNDS):
            names = list(clients)
            # The order changes, so that no client always follows the same one.
            for name in names[number % len(names) :] + names[: number % len(names)]:
                taken[name].append(_posted_s(clients[name], _POSTS) / _POSTS * 1e6)
        for client in clients.values():
            client.close()
        return taken


def _posted_s(client: Client, count: int) -> float:
    began = time.process_time()
    for _ in range(count):
        answer = client.post("/hooks/noteflow", _HEADERS, _BODY, _deadline())
        read = answer.read_body(keep=_KEPT)
        if (answer.status, read, answer.is_reusable) != (200, b"ok", True):
            raise SystemExit(f"{type(client).__name__} came to {answer.status}, {read!r}, {answer.is_reusable}")
    return time.process_time() - began


def _deadline() -> Deadline:
    return Deadline(time.monotonic() + _PATIENCE_S, time.monotonic)


@contextmanager
def _receiver(answer: bytes) -> Iterator[int]:
    """Yield the port of a receiver in another process, so that its time is not counted."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs, answer), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours.recv()
    finally:
        process.terminate()
        process.join()


def _serve(pipe: Connection, answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        pipe.send(listener.getsockname()[1])
        while True:
            line, _ = listener.accept()
            threading.Thread(target=_answer_all, args=(line, answer), daemon=True).start()


def _answer_all(line: socket.socket, answer: bytes) -> None:
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    came = b""
    while data := line.recv(65_536):
        came += data
        head, end, body = came.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        if end and length and len(body) >= int(length[1]):
            line.sendall(answer)
            came = b""
