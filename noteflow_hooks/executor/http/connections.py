"""Connections to endpoints. Some are kept open between deliveries, each for one webhook only, and not for long."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from noteflow_hooks.executor.http.faults import UnansweredError
from noteflow_hooks.executor.http.reply import Reply
from noteflow_hooks.executor.http.wire import Wire

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable
    from uuid import UUID

    from noteflow_hooks.executor.http.stream import Deadline

#: The longest wait for a connection that another POST uses: a POST that takes longer counts as slow anyway.
_LONGEST_WAIT_S: Final = 0.05
#: How many POSTs may wait for each connection that is in use.
_WAITING_FOR_EACH: Final = 2
#: What sending raises where the receiver has closed; it may have answered before.
_CLOSED_EARLY: Final = (BrokenPipeError, ConnectionResetError)


class Route(NamedTuple):
    """Whose connection it is, and where it goes: a connection is used again only for an equal route."""

    webhook_id: UUID
    scheme: str
    host: str
    port: int
    #: A digest of the certificates that the endpoint has of its own; empty where it has none.
    certificates: str = ""


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
        #: What went wrong as a POST was begun.
        self._problem: OSError | None = None

    def secure(self, context: ssl.SSLContext) -> None:
        """Speak TLS from here on. A dot at the name's end is left out, as certificates have none."""
        self._wire.secure(context, self.route.host.rstrip("."))

    def post(self, request: bytes, deadline: Deadline) -> Reply:
        """Send a POST, head and body, and return the answer with its head read; raise what went wrong otherwise."""
        self._wire.stream.deadline = deadline
        try:  # noqa: SIM105 - contextlib's way costs each POST a µs
            self._wire.sendall(request)
        except _CLOSED_EARLY:
            # The receiver may have answered and closed before it had all of the request.
            pass
        return self._answer()

    def begin(self, request: bytes, deadline: Deadline) -> None:
        """Send a POST as far as that goes without waiting; :meth:`end` must follow. What goes wrong is raised there."""
        self._wire.stream.deadline = deadline
        try:
            self._wire.send_now(request)
        except OSError as error:
            self._problem = None if isinstance(error, _CLOSED_EARLY) else error

    def end(self) -> Reply:
        """Send what is left of the POST that was begun, and do what :meth:`post` does besides."""
        problem, self._problem = self._problem, None
        if problem is not None:
            raise problem
        return self._answer()

    def _answer(self) -> Reply:
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


class _Waiter:
    """A POST that waits for a connection which another one uses."""

    __slots__ = ("connection", "wake")

    def __init__(self) -> None:
        self.connection: Connection | None = None
        self.wake = threading.Lock()
        self.wake.acquire()


class _Lane:
    """The connections of one route; all lanes change under one lock."""

    __slots__ = ("dial_s", "idle", "users", "waiting")

    def __init__(self) -> None:
        #: Those that can be used at once, the latest last.
        self.idle: dict[Connection, None] = {}
        #: How many POSTs use one, dial one or wait for one.
        self.users = 0
        self.waiting: deque[_Waiter] = deque()
        #: How long the last one took to dial.
        self.dial_s = _LONGEST_WAIT_S

    @property
    def has_room(self) -> bool:
        """Whether a connection that others use may come back soon enough for one more that waits."""
        waiting = len(self.waiting)
        return waiting < _WAITING_FOR_EACH * (self.users - 1 - waiting)


class IdleConnections:
    """The open connections that wait for their webhook's next delivery, bounded in number and in age.

    A POST that finds none may wait for one that is in use, for as long as it would take to dial: a handshake costs
    twenty times what a POST costs, and what comes back meanwhile is there no later.
    """

    def __init__(self, *, limit: int, max_age_s: float, monotonic: Callable[[], float]) -> None:
        """``limit`` counts the connections of all webhooks: each costs a file descriptor."""
        self._limit = limit
        self._max_age_s = max_age_s
        self._monotonic = monotonic
        self._lock = threading.Lock()
        #: Oldest first, with the moment since which each has been idle.
        self._since: dict[Connection, float] = {}
        self._lanes: dict[Route, _Lane] = {}

    def take(self, route: Route, *, wait_s: float = 0.0) -> Connection | None:
        """Return a connection that can be used at once, or None for who dials; wait at most so long for one.

        Whatever comes of it, one :meth:`put` or one :meth:`leave` must follow.
        """
        waiter: _Waiter | None = None
        with self._lock:
            lane = self._lanes.get(route)
            if lane is None:
                lane = self._lanes[route] = _Lane()
            lane.users += 1
            connection, dropped = self._next(lane)
            wait_s = min(wait_s, lane.dial_s)
            if connection is None and wait_s > 0 and lane.has_room:
                waiter = _Waiter()
                lane.waiting.append(waiter)
        if dropped:
            _close(dropped)
        return connection if waiter is None else self._awaited(lane, waiter, wait_s)

    def take_idle(self, route: Route) -> Connection | None:
        """Return a connection that can be used at once, as :meth:`take` does; None commits to nothing."""
        with self._lock:
            lane = self._lanes.get(route)
            if lane is None or not lane.idle:
                return None
            lane.users += 1
            connection, dropped = self._next(lane)
            if connection is None:
                lane.users -= 1
                self._drop_if_unused(route, lane)
        if dropped:
            _close(dropped)
        return connection

    def put(self, connection: Connection, *, at_most_s: float) -> None:
        """Hand the connection on, or keep it for its route for at most so long; of too many, the oldest are closed."""
        now = self._monotonic()
        connection.good_until = now + min(at_most_s, self._max_age_s)
        with self._lock:
            lane = self._lanes[connection.route]
            lane.users -= 1
            if lane.waiting and self._limit and connection.good_until > now:
                _hand_over(lane, connection)
                return
            self._since[connection] = now
            lane.idle[connection] = None
            dropped = self._pop_outdated(now)
        _close(dropped)

    def leave(self, route: Route) -> None:
        """Take note that a POST has ended without a connection to put back."""
        with self._lock:
            lane = self._lanes[route]
            lane.users -= 1
            if lane.waiting:
                # It dials: the connection that it may have waited for is gone.
                _hand_over(lane, None)
            self._drop_if_unused(route, lane)

    def dialled(self, route: Route, took_s: float) -> None:
        """Take note of how long it takes to dial."""
        with self._lock:
            self._lanes[route].dial_s = min(took_s, _LONGEST_WAIT_S)

    def close(self) -> None:
        """Close all connections, and every one that is put back from now on."""
        with self._lock:
            self._limit = 0
            dropped = self._pop_outdated(self._monotonic())
        _close(dropped)

    def _next(self, lane: _Lane) -> tuple[Connection | None, list[Connection]]:
        """Return the lane's latest connection that can be used, and those that have to be closed."""
        now = self._monotonic()
        dropped = self._pop_outdated(now)
        while lane.idle:
            connection, _ = lane.idle.popitem()
            del self._since[connection]
            if connection.good_until > now and connection.is_quiet():
                return connection, dropped
            dropped.append(connection)
        return None, dropped

    def _awaited(self, lane: _Lane, waiter: _Waiter, wait_s: float) -> Connection | None:
        is_alive = False
        try:
            waiter.wake.acquire(timeout=wait_s)
            is_alive = True
        finally:
            with self._lock:
                # Whoever hands it over takes it out.
                if waiter in lane.waiting:
                    lane.waiting.remove(waiter)
            connection = waiter.connection
            if connection is not None and not (is_alive and connection.is_quiet()):
                connection.close()
                connection = None
        return connection

    def _pop_outdated(self, now: float) -> list[Connection]:
        dropped = []
        expired = now - self._max_age_s
        while self._since:
            connection, since = next(iter(self._since.items()))
            if len(self._since) <= self._limit and since > expired:
                break
            del self._since[connection]
            lane = self._lanes[connection.route]
            del lane.idle[connection]
            self._drop_if_unused(connection.route, lane)
            dropped.append(connection)
        return dropped

    def _drop_if_unused(self, route: Route, lane: _Lane) -> None:
        if not (lane.users or lane.idle):
            del self._lanes[route]


def _hand_over(lane: _Lane, connection: Connection | None) -> None:
    waiter = lane.waiting.popleft()
    waiter.connection = connection
    waiter.wake.release()


def _close(connections: list[Connection]) -> None:
    for connection in connections:
        connection.close()
