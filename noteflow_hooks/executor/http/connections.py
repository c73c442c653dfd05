"""Connections to endpoints. Some are kept open between deliveries, each for one webhook only, and not for long."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, NamedTuple

from noteflow_hooks.executor.http.faults import UnansweredError
from noteflow_hooks.executor.http.reply import Reply
from noteflow_hooks.executor.http.wire import Wire

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable
    from uuid import UUID

    from noteflow_hooks.executor.http.stream import Deadline


class Route(NamedTuple):
    """Whose connection it is, and where it goes: a connection is used again only for an equal route."""

    webhook_id: UUID
    scheme: str
    host: str
    port: int


class Connection:
    """One connection, over which one request at a time is made."""

    def __init__(self, route: Route, sock: socket.socket, deadline: Deadline) -> None:
        """Take over a connected socket."""
        self.route = route
        self._wire = Wire(sock, deadline)
        #: Whether it turned out during a POST to have ended, before any byte of an answer and not by a timeout.
        self.ended_unanswered = False
        #: Until when it may be used again, by the clock of :class:`IdleConnections`.
        self.good_until = 0.0

    def secure(self, context: ssl.SSLContext) -> None:
        """Speak TLS from here on. A dot at the name's end is left out, as certificates have none."""
        self._wire.secure(context, self.route.host.rstrip("."))

    def post(self, request: bytes, deadline: Deadline) -> Reply:
        """Send a POST, head and body, and return the answer with its head read; raise what went wrong otherwise."""
        self._wire.stream.deadline = deadline
        # The receiver may have answered and closed before it had all of the request.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._wire.sendall(request)
        reply = Reply(self._wire)
        try:
            reply.begin()
        except (ConnectionError, UnansweredError):
            self.ended_unanswered = not (reply.has_begun or self._wire.may_hold_answer)
            raise
        return reply

    def is_quiet(self) -> bool:
        """Tell whether nothing has come since the last answer, neither data nor the connection's end."""
        return not self._wire.has_input()

    def close(self) -> None:
        """Close the socket."""
        self._wire.close()


class IdleConnections:
    """The open connections that wait for their webhook's next delivery, bounded in number and in age."""

    def __init__(self, *, limit: int, max_age_s: float, monotonic: Callable[[], float]) -> None:
        """``limit`` counts the connections of all webhooks: each costs a file descriptor."""
        self._limit = limit
        self._max_age_s = max_age_s
        self._monotonic = monotonic
        self._lock = threading.Lock()
        #: Oldest first, with the moment since which each has been idle.
        self._since: dict[Connection, float] = {}
        self._by_route: dict[Route, dict[Connection, None]] = {}

    def take(self, route: Route) -> Connection | None:
        """Return a connection that can be used at once, or None."""
        while True:
            now = self._monotonic()
            with self._lock:
                dropped = self._pop_outdated(now)
                waiting = self._by_route.get(route)
                connection = next(reversed(waiting)) if waiting else None
                if connection is not None:
                    self._forget(connection)
            if dropped:
                _close(dropped)
            if connection is None or (connection.good_until > now and connection.is_quiet()):
                return connection
            connection.close()

    def put(self, connection: Connection, *, at_most_s: float) -> None:
        """Keep the connection for its route for at most so long; if there are too many, the oldest are closed."""
        now = self._monotonic()
        connection.good_until = now + min(at_most_s, self._max_age_s)
        with self._lock:
            self._since[connection] = now
            self._by_route.setdefault(connection.route, {})[connection] = None
            dropped = self._pop_outdated(now)
        _close(dropped)

    def close(self) -> None:
        """Close all connections, and every one that is put back from now on."""
        with self._lock:
            self._limit = 0
            dropped = self._pop_outdated(self._monotonic())
        _close(dropped)

    def _pop_outdated(self, now: float) -> list[Connection]:
        dropped = []
        expired = now - self._max_age_s
        while self._since:
            connection, since = next(iter(self._since.items()))
            if len(self._since) <= self._limit and since > expired:
                break
            self._forget(connection)
            dropped.append(connection)
        return dropped

    def _forget(self, connection: Connection) -> None:
        del self._since[connection]
        waiting = self._by_route[connection.route]
        del waiting[connection]
        if not waiting:
            del self._by_route[connection.route]


def _close(connections: list[Connection]) -> None:
    for connection in connections:
        connection.close()
