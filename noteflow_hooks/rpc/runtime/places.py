"""Places for calls in the event loop's own thread: each call is a greenlet there, and gives way where it waits.

This is for stores that can wait so. A call that waits for anything else is made in a thread, in a place like any other.
"""

from __future__ import annotations

import asyncio
import contextlib
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from noteflow_hooks.concurrency.kept_threads import KeptThreads
from noteflow_hooks.rpc.runtime.fair_queue import FairQueue
from noteflow_hooks.rpc.runtime.greenlets import LoopGreenlets

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from noteflow_hooks.rpc.runtime.fair_queue import Lane

T = TypeVar("T")
#: What was handed over, to run here or in a thread.
Job: TypeAlias = "LoopJob[T] | Future[T]"


class LoopJob(Generic[T]):
    """A call that was handed over: a future that takes less time. Like a thread's, it is cancelled only beforehand."""

    __slots__ = (
        "_callbacks",
        "_error",
        "_is_cancelled",
        "_is_done",
        "_result",
        "blocks",
        "call",
        "context",
        "has_begun",
    )

    def __init__(self, call: Callable[[], T], *, blocks: bool) -> None:
        self.call: Callable[[], T] | None = call
        self.blocks = blocks
        #: The caller's. A queued call begins where another's ends, and must see nothing of that one.
        self.context = copy_context()
        self.has_begun = False
        self._callbacks: list[Callable[[LoopJob[T]], object]] = []
        self._is_cancelled = self._is_done = False
        self._error: BaseException | None = None

    def add_done_callback(self, callback: Callable[[LoopJob[T]], object]) -> None:
        """Call it once the job is done or cancelled; at once where it is."""
        if self._is_done:
            callback(self)
        else:
            self._callbacks.append(callback)

    def cancel(self) -> bool:
        """Have it never begin; return False where it has."""
        if self.has_begun:
            return False
        self._is_cancelled = True
        self.end()
        return True

    def cancelled(self) -> bool:
        """Tell whether it never begins."""
        return self._is_cancelled

    def done(self) -> bool:
        """Tell whether it has ended."""
        return self._is_done

    def exception(self) -> BaseException | None:
        """Return what it raised, once it has ended."""
        return self._error

    def result(self) -> T:
        """Return what it returned, or raise what it raised, once it has ended."""
        if self._error is not None:
            raise self._error
        return self._result

    def make(self) -> None:
        """Make the call."""
        assert self.call is not None  # noqa: S101 - it is made once
        try:
            self._result = self.call()
        except BaseException as error:  # noqa: BLE001 - it belongs to the caller, whatever it is
            self._error = error
        self.call = None

    def end(self) -> None:
        """Tell who waits for it."""
        self._is_done = True
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(self)


class LoopPlaces:
    """Runs so many calls at once: those of a lane in their order, and lanes by turns. Belongs to the running loop."""

    def __init__(self, count: int, *, name: str, most_lists: int) -> None:
        """``most_lists`` is how many places lists may take."""
        self._calls: FairQueue[LoopJob[Any]] = FairQueue(most_lists=most_lists)
        self._threads = KeptThreads(count, name=name)
        self._greenlets = LoopGreenlets()
        self._count = self._free = count
        self._loop = asyncio.get_running_loop()

    def submit(self, call: Callable[[], T], *, lane: Lane, blocks: bool) -> LoopJob[T]:
        """Begin the call, or queue it; where it ``blocks`` it is made in a thread. Its end is told by the loop."""
        job = LoopJob(call, blocks=blocks)
        self._calls.put(job, lane)
        self._begin_next()
        return job

    def close(self, *, timeout_s: float) -> None:
        """End what has nothing to do; what hangs ends with the process."""
        del timeout_s
        self._greenlets.close()
        if self._free == self._count:
            self._threads.close()

    def _begin_next(self) -> None:
        while self._free and (found := self._calls.get_now()) is not None:
            job, lane = found
            if job.cancelled():
                self._calls.done(lane)
                continue
            job.has_begun = True
            self._free -= 1
            if job.blocks:
                self._threads.submit(self._make_in_thread, job, lane)
            else:
                self._greenlets.begin(partial(self._make, job, lane), context=job.context)

    def _make(self, job: LoopJob[Any], lane: Lane) -> None:
        job.make()
        # Not from here: what follows may begin the next one, and belongs to the loop.
        self._loop.call_soon(self._end, job, lane)

    def _make_in_thread(self, job: LoopJob[Any], lane: Lane) -> None:
        job.make()
        # The loop may be over before a thread that hung.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._end, job, lane)

    def _end(self, job: LoopJob[Any], lane: Lane) -> None:
        self._free += 1
        self._calls.done(lane)
        self._begin_next()
        job.end()
