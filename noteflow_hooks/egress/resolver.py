"""Look-ups that end when their caller's time is up, however long the name server takes.

``getaddrinfo`` has no timeout: a silent name server holds it for 10 s and more. Each look-up therefore has a thread of
its own, which its caller abandons when it is late. They are daemon threads: those of a pool would be joined when the
process ends.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from noteflow_hooks.egress.ranges import Address

#: Returns a host name's addresses as text, in the order in which to try them; raises OSError where there are none.
Lookup: TypeAlias = Callable[[str], Sequence[str]]

#: The most look-ups at once, since each costs a thread. A name has one at a time, so it takes as many silent names to
#: use them all up.
_LOOKUPS_LIMIT: Final = 128


def system_lookup(host: str) -> Sequence[str]:
    """Ask the system's resolver, /etc/hosts included."""
    return [str(answer[4][0]) for answer in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]


class Resolver:
    """Looks host names up, each once at a time, and a bounded number of them at once."""

    def __init__(self, lookup: Lookup = system_lookup, *, limit: int = _LOOKUPS_LIMIT) -> None:
        """``limit`` is the most look-ups under way, abandoned ones included."""
        self._lookup = lookup
        self._limit = limit
        self._lock = threading.Lock()
        self._free = threading.BoundedSemaphore(limit)
        self._running: dict[str, Future[tuple[Address, ...]]] = {}

    def resolve(self, host: str, *, timeout_s: float) -> tuple[Address, ...]:
        """Return the host's addresses; raise TimeoutError when time is up, another OSError where there are none."""
        ends_at = time.monotonic() + timeout_s
        answer = self._running.get(host) or self._started(host, timeout_s)
        return answer.result(timeout=max(0.0, ends_at - time.monotonic()))

    def _started(self, host: str, timeout_s: float) -> Future[tuple[Address, ...]]:
        if not self._free.acquire(timeout=timeout_s):
            raise TimeoutError
        with self._lock:
            answer = self._running.get(host)
            if answer is not None:
                self._free.release()
                return answer
            answer = self._running[host] = Future()
        threading.Thread(target=self._run, args=(host, answer), name="look-up", daemon=True).start()
        return answer

    def _run(self, host: str, answer: Future[tuple[Address, ...]]) -> None:
        try:
            _make_room(self._limit)
            found = tuple(dict.fromkeys(ip_address(each) for each in self._lookup(host)))
        except Exception as error:  # noqa: BLE001 - carried over to those who wait for it
            self._finish(host)
            answer.set_exception(error)
        else:
            self._finish(host)
            answer.set_result(found)

    def _finish(self, host: str) -> None:
        # Before the answer is set: whoever asks from now on gets a new look-up.
        with self._lock:
            del self._running[host]
        self._free.release()


def _make_room(limit: int) -> None:
    """Let gevent, if it has patched the process, make so many look-ups at once.

    By default it makes them in ten native threads, so that ten silent names would delay every other one.
    """
    monkey, hub = sys.modules.get("gevent.monkey"), sys.modules.get("gevent.hub")
    if monkey is not None and hub is not None and monkey.is_module_patched("socket"):
        pool = hub.get_hub().threadpool
        pool.maxsize = max(pool.maxsize, limit)
