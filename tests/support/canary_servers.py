"""Canaries: TLS servers on every address of a network namespace, which keep each connection and each verified POST."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from noteflow_hooks.signing import verify_signature
from tests.support.certificates import authority, server_context
from tests.support.receiver import Receiver
from tests.support.receiver_connection import Answer
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from tests.support.receiver_connection import ReceivedRequest, ReceiverConnection

#: What every webhook of these tests is signed with.
SECRET: Final = "a-secret-for-canaries"
#: Nobody's addresses, for connections of the canaries' own.
_MARKS: Final = ("192.0.2.200", "2001:db8::200")


class Visit(NamedTuple):
    """One connection: the address and port that were dialled, and how many POSTs came that verify."""

    address: str
    port: int
    posts: int


class CanaryServers:
    """Listens on those ports of all addresses; use it as a context manager.

    A path ``/redirect/<status>/<address>`` is answered with a redirect to that address, any other one with 200.
    """

    def __init__(self, ports: Iterable[int], names: Iterable[str]) -> None:
        """``names`` are the names and addresses that the certificate is for."""
        context = server_context(authority(), tuple(names))
        self._context = context
        self._lock = threading.Lock()
        self._visits: list[Visit] = []
        self._ports = sorted(ports)
        everywhere = ("0.0.0.0", "::")  # noqa: S104 - all addresses is what it is about
        self._receivers = [
            Receiver(host=host, port=port, greeting=self._meet) for port in self._ports for host in everywhere
        ]

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            for receiver in self._receivers:
                stack.enter_context(receiver)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def visits(self) -> list[Visit]:
        """Return the connections since the last call, in the order in which they came; those not answered may lag."""
        with self._lock:
            visits, self._visits = self._visits, []
        return visits

    def all_visits(self) -> list[Visit]:
        """Return what :meth:`visits` does, with nothing on its way any more."""
        marks = {(mark, port) for mark in _MARKS for port in self._ports}
        for mark in marks:
            # Connections are accepted in the order in which they were made.
            socket.create_connection(mark).close()
        until(lambda: marks <= {visit[:2] for visit in self._visits}, what="the canaries meet the last connection")
        return [visit for visit in self.visits() if visit.address not in _MARKS]

    def _meet(self, connection: ReceiverConnection) -> None:
        address, port = connection.sock.getsockname()[:2]
        with self._lock:
            index = len(self._visits)
            self._visits.append(Visit(address, port, 0))
            visits = self._visits
        connection.secure(self._context)
        while request := connection.read_request():
            with self._lock:
                visits[index] = visits[index]._replace(posts=visits[index].posts + _is_genuine(request))
            connection.send(_answer(request.path).encode())


def _is_genuine(request: ReceivedRequest) -> bool:
    signature = request.header("X-NoteFlow-Signature") or ""
    return request.method == "POST" and verify_signature(request.body, signature, SECRET)


def _answer(path: str) -> Answer:
    if not path.startswith("/redirect/"):
        return Answer()
    _, _, status, address = path.split("/")
    return Answer(int(status), headers=(("Location", f"https://{address}/hooks"),))
