"""Look-ups that end when their caller's time is up, however long the name server takes; answers are kept for a while.

``getaddrinfo`` has no timeout: a silent name server holds it for 10 s and more. Each look-up therefore has a thread of
its own, which its caller abandons when it is late. They are daemon threads: those of a pool would be joined when the
process ends. Nor does it tell how long an answer is valid, so the operator says how long one may be kept.
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
#: How many answers are kept at the most, and how many addresses one of them may have: both are others' to choose.
_KEPT_LIMIT: Final = 1_024
_ADDRESSES_LIMIT: Final = 16


def system_lookup(host: str) -> Sequence[str]:
    """Ask the system's resolver, /etc/hosts included."""
    return [str(answer[4][0]) for answer in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]


class Resolver:
    """Looks host names up, each once at a time, and a bounded number of them at once.

    An answer is kept for ``keep_s`` seconds, 0 for not; that there is none is not kept.
    """

    def __init__(
        self,
        lookup: Lookup = system_lookup,
        *,
        limit: int = _LOOKUPS_LIMIT,
        keep_s: float = 0.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``limit`` is the most look-ups under way, abandoned ones included. By ``monotonic`` answers grow old."""
        self._lookup = lookup
        self._limit = limit
        self._keep_s = keep_s
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._free = threading.BoundedSemaphore(limit)
        self._running: dict[str, Future[tuple[Address, ...]]] = {}
        #: Each name's addresses and until when they may be used, the longest kept first.
        self._kept: dict[str, tuple[float, tuple[Address, ...]]] = {}

    def resolve(self, host: str, *, timeout_s: float) -> tuple[Address, ...]:
        """Return the host's addresses; raise TimeoutError when time is up, another OSError where there are none."""
        kept = self._kept.get(host)
        if kept is not None and self._monotonic() < kept[0]:
            return kept[1]
        ends_at = time.monotonic() + timeout_s
        answer = self._running.get(host) or self._started(host, timeout_s)
        return answer.result(timeout=max(0.0, ends_at - time.monotonic()))

    def forget(self, host: str) -> None:
        """Look the host up anew when it is next asked for, since what is kept has turned out to be of no use."""
        with self._lock:
            self._kept.pop(host, None)

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
            self._finish(host, ())
            answer.set_exception(error)
        else:
            self._finish(host, found)
            answer.set_result(found)

    def _finish(self, host: str, found: tuple[Address, ...]) -> None:
        # Before the answer is set: whoever asks from now on gets what is kept, or a new look-up.
        with self._lock:
            del self._running[host]
            if self._keep_s and 0 < len(found) <= _ADDRESSES_LIMIT:
                self._keep(host, found)
        self._free.release()

    def _keep(self, host: str, found: tuple[Address, ...]) -> None:
        now = self._monotonic()
        self._kept.pop(host, None)
        self._kept[host] = (now + self._keep_s, found)
        while len(self._kept) > _KEPT_LIMIT or next(iter(self._kept.values()))[0] <= now:
            del self._kept[next(iter(self._kept))]


def _make_room(limit: int) -> None:
    """Let gevent, if it has patched the process, make so many look-ups at once.

    By default it makes them in ten native threads, so that ten silent names would delay every other one.
    """
    monkey, hub = sys.modules.get("gevent.monkey"), sys.modules.get("gevent.hub")
    if monkey is not None and hub is not None and monkey.is_module_patched("socket"):
        pool = hub.get_hub().threadpool
        pool.maxsize = max(pool.maxsize, limit)
