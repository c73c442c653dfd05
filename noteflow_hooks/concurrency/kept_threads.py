"""Threads that make calls and are kept for the next ones. Under gevent they are greenlets.

A call costs a queue's put and get and little else. An executor of the standard library makes a future, locks and a
condition for each, which under gevent takes ten times as long.
"""

from __future__ import annotations

import threading
from collections import deque
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

_Call: TypeAlias = "tuple[Callable[..., None], tuple[Any, ...]]"
_END: Final = None


class KeptThreads:
    """Starts a thread for a call that finds none idle, up to a number; further calls wait for one."""

    def __init__(self, most: int, *, name: str) -> None:
        """``most`` threads are started, each with that name and a number."""
        self._most = most
        self._name = name
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        #: An entry for each thread that waits for a call and for which none is on its way: appending and popping need
        #: no lock.
        self._idle: deque[None] = deque()
        self._threads: set[threading.Thread] = set()

    def submit(self, call: Callable[..., None], *args: Any) -> None:  # noqa: ANN401 - the call's own arguments
        """Make the call in one of the threads; it must not raise. Raise RuntimeError if no thread can be started."""
        try:
            self._idle.pop()
        except IndexError:
            if len(self._threads) < self._most:
                self._start()
        self._calls.put((call, args))

    def close(self) -> None:
        """Wait for what is under way, and end the threads. No calls may come after that."""
        threads = list(self._threads)
        for _ in threads:
            self._calls.put(_END)
        for thread in threads:
            thread.join()

    def _start(self) -> None:
        # A daemon: a process that ends without closing must not wait for threads that nothing will ever wake.
        thread = threading.Thread(target=self._run, name=f"{self._name}-{len(self._threads)}", daemon=True)
        thread.start()
        self._threads.add(thread)

    def _run(self) -> None:
        calls, idle = self._calls, self._idle
        is_idle = False
        try:
            while (work := calls.get()) is not _END:
                is_idle = False
                call, args = work
                call(*args)
                # A thread that waits holds on to nothing: an argument may be as large as a payload.
                del work, call, args
                idle.append(None)
                is_idle = True
        finally:
            # Killed as it waited, as gevent does: no call must be left to it.
            if is_idle and idle:
                idle.pop()
            self._threads.discard(threading.current_thread())
