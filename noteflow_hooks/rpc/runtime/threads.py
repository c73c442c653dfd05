"""A pool of daemon threads: unlike ThreadPoolExecutor's they never keep a process alive that wants to end.

A call into a frozen PostgreSQL may not return for minutes, and a server that was told to stop must not wait for it.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class DaemonThreads:
    """Runs calls in a fixed number of threads, in their order."""

    def __init__(self, count: int, *, name: str) -> None:
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True) for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Queue the call; a future that is cancelled before its turn is never run."""
        future: Future[T] = Future()
        self._calls.put((future, call))
        return future

    def close(self, *, timeout_s: float) -> None:
        """Let the threads end after what is queued, and wait for them for so long at most."""
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            thread.join(timeout_s)

    def _run(self) -> None:
        while (item := self._calls.get()) is not None:
            future, call = item
            if future.set_running_or_notify_cancel():
                _settle(future, call)
            # Nothing of a finished call is held while the thread waits for the next.
            del item, future, call


def _settle(future: Future[T], call: Callable[[], T]) -> None:
    try:
        result = call()
    except BaseException as error:  # noqa: BLE001 - it belongs to the caller, whatever it is
        future.set_exception(error)
    else:
        future.set_result(result)
