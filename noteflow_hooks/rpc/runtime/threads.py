"""A pool of daemon threads: unlike ThreadPoolExecutor's they never keep a process alive that is ending.

A call into a frozen PostgreSQL may not return for minutes, and a server that stops must not wait for it.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from noteflow_hooks.rpc.runtime.fair_queue import SERVER, FairQueue

if TYPE_CHECKING:
    from collections.abc import Callable

    from noteflow_hooks.rpc.runtime.fair_queue import Lane

T = TypeVar("T")


class DaemonThreads:
    """Runs calls in a fixed number of threads: those of a lane in their order, and lanes by turns."""

    def __init__(self, count: int, *, name: str, most_lists: int | None = None) -> None:
        """``most_lists`` is how many threads lists may take; None for all."""
        self._calls: FairQueue[tuple[Future[Any], Callable[[], Any]]] = FairQueue(
            most_lists=most_lists if most_lists is not None else count
        )
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True) for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, call: Callable[[], T], *, lane: Lane = SERVER, blocks: bool = True) -> Future[T]:
        """Queue the call; one whose future is cancelled while it waits is never run. Here any call may block."""
        del blocks
        future: Future[T] = Future()
        self._calls.put((future, call), lane)
        return future

    def close(self, *, timeout_s: float) -> None:
        """Let the threads end after what is queued, and wait for each of them for so long at most."""
        self._calls.close()
        for thread in self._threads:
            thread.join(timeout_s)

    def _run(self) -> None:
        while (item := self._calls.get()) is not None:
            (future, call), lane = item
            if future.set_running_or_notify_cancel():
                _run_call(future, call)
            self._calls.done(lane)
            # So that a finished call is freed while the thread waits for the next one.
            del item, future, call


def _run_call(future: Future[T], call: Callable[[], T]) -> None:
    try:
        result = call()
    except BaseException as error:  # noqa: BLE001 - it belongs to the caller, whatever it is
        future.set_exception(error)
    else:
        future.set_result(result)
