"""A bulkhead for calls that may hang: how many run at once is bounded, and what hangs leaves room for the rest.

It has a quick share and a slow one. A caller takes permits of the quick share first; a call that takes long moves to
the slow share, and its permit is free again. Under gevent the threads are greenlets.
"""

from __future__ import annotations

import math
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from noteflow_hooks.concurrency.kept_threads import KeptThreads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

Job = TypeVar("Job")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class BulkheadTuning:
    """How long a bulkhead waits, and how its shares are measured."""

    #: How long a caller waits for all the permits that it wants, before fewer will do.
    patience_s: float
    #: A call that takes longer than this moves to the slow share, whatever becomes of it.
    move_after_s: float
    #: While other calls are under way, results are handed over in groups at least this far apart. What comes last, and
    #: so a lone result, is handed over at once.
    group_spacing_s: float
    #: The slow share's permits are one in so many of the quick share's.
    slow_divisor: int
    #: How many calls may be under way in all, moved ones included, as a multiple of the quick share.
    total_multiple: int


class _Slot:
    """Where one call runs; all slots change under their bulkhead's lock."""

    __slots__ = ("is_free", "slow")

    def __init__(self, *, slow: bool) -> None:
        self.slow = slow
        self.is_free = False


class Bulkhead:
    """Runs calls concurrently, at most ``size`` quick ones at once; a caller takes permits first."""

    def __init__(self, size: int, *, tuning: BulkheadTuning) -> None:
        """``size`` is the most calls in the quick share."""
        self._size = size
        self._tuning = tuning
        self._free = size
        self._slow_free = max(1, size // tuning.slow_divisor)
        #: How many calls may yet move to the slow share.
        self._movable = (tuning.total_multiple - 1) * size - self._slow_free
        #: How many permits the caller that waits without urgency waits for; infinitely many where none waits.
        self._wanted = math.inf
        #: How many callers wait urgently.
        self._urgent = 0
        # One caller at a time waits for permits, so that a slot that becomes free wakes one thread and not all.
        self._queue = threading.Lock()
        # Nobody takes its lock twice; a lock that can be taken twice costs five times as much under gevent.
        self._changed = threading.Condition(threading.Lock())
        # It starts none yet: a prefork worker's children must not inherit threads that don't exist after the fork.
        self.threads = KeptThreads(tuning.total_multiple * size, name="post")
        #: How many callers are at work at this moment, waiting for permits or using some.
        self.callers = 0

    @contextmanager
    def caller(self) -> Iterator[None]:
        """Count as a caller at work inside the ``with`` block."""
        with self._changed:
            self.callers += 1
        try:
            yield
        finally:
            with self._changed:
                self.callers -= 1

    def reserve(self, wanted: int, *, urgent: int = 0) -> Permits:
        """Wait for permits, at first for all that are wanted, after a moment for one at least; take what is free.

        With ``urgent``, wait for one only, before all others, and where not all are free take no more than that.
        """
        if urgent:
            return self._reserve_urgently(wanted, urgent)
        with self._queue, self._changed:
            self._wait_for(min(wanted, self._size), timeout_s=self._tuning.patience_s)
            self._wait_for(1, timeout_s=None)
            taken = min(wanted, self._free)
            self._free -= taken
        return Permits(self, taken, slow=False, tuning=self._tuning)

    def reserve_within(self, wanted: int, *, timeout_s: float) -> Permits:
        """Wait as :meth:`reserve` does, but no longer than that, and take what is free: it may be nothing."""
        until, taken = time.monotonic() + timeout_s, 0
        if self._queue.acquire(timeout=timeout_s):
            try:
                with self._changed:
                    for each, longest_s in ((min(wanted, self._size), self._tuning.patience_s), (1, timeout_s)):
                        self._wait_for(each, timeout_s=min(longest_s, max(0.0, until - time.monotonic())))
                    taken = 0 if self._urgent else min(wanted, self._free)
                    self._free -= taken
            finally:
                self._queue.release()
        return Permits(self, taken, slow=False, tuning=self._tuning)

    def hurry(self) -> None:
        """Have who waits in line for many permits go on with what is free, once that is one."""
        with self._changed:
            self._wanted = min(self._wanted, 1)
            if self._free:
                self._changed.notify()

    def reserve_free(self, wanted: int) -> Permits:
        """Take what is free and nobody waits for urgently, which may be nothing, and wait for none."""
        with self._changed:
            taken = 0 if self._urgent else max(0, min(wanted, self._free))
            self._free -= taken
        return Permits(self, taken, slow=False, tuning=self._tuning)

    def reserve_slow(self, wanted: int) -> Permits:
        """Take what is free of the slow share, which may be nothing: nobody waits for what is slow."""
        with self._changed:
            taken = max(0, min(wanted, self._slow_free))
            self._slow_free -= taken
        return Permits(self, taken, slow=True, tuning=self._tuning)

    def release(self, count: int, *, slow: bool) -> None:
        """Give that many permits back."""
        with self._changed:
            self._give_back(count, slow=slow)

    def leave(self, slot: _Slot) -> None:
        """Give a call's slot back; it has ended."""
        with self._changed:
            slot.is_free = True
            self._give_back(1, slow=slot.slow)

    def move(self, slots: Sequence[_Slot]) -> None:
        """Move calls that take long to the slow share, as far as there may be so many."""
        with self._changed:
            for slot in slots:
                if not (slot.slow or slot.is_free) and self._slow_free > -self._movable:
                    slot.slow = True
                    self._slow_free -= 1
                    self._give_back(1, slow=False)

    def close(self) -> None:
        """Wait for what is under way, and end the threads."""
        self.threads.close()

    def _reserve_urgently(self, wanted: int, urgent: int) -> Permits:
        with self._changed:
            self._urgent += 1
            try:
                self._changed.wait_for(lambda: self._free > 0)
            except BaseException:
                # Killed while it waited: the others waited for it, and nothing that it gives back will wake them.
                self._changed.notify_all()
                raise
            finally:
                self._urgent -= 1
            taken = min(wanted if self._free >= wanted else urgent, self._free)
            self._free -= taken
        return Permits(self, taken, slow=False, tuning=self._tuning)

    def _give_back(self, count: int, *, slow: bool) -> None:
        if slow:
            self._slow_free += count
            return
        self._free += count
        if self._urgent:
            self._changed.notify_all()
        elif self._free >= self._wanted:
            self._changed.notify()

    def _wait_for(self, wanted: int, *, timeout_s: float | None) -> None:
        self._wanted = wanted
        try:
            self._changed.wait_for(lambda: self._free >= self._wanted and not self._urgent, timeout=timeout_s)
        finally:
            self._wanted = math.inf


class Permits:
    """Permits for some calls. Each is given back as its call ends; leaving the ``with`` block gives back the rest."""

    def __init__(self, bulkhead: Bulkhead, size: int, *, slow: bool, tuning: BulkheadTuning) -> None:
        """Made by :class:`Bulkhead`."""
        self._bulkhead = bulkhead
        self._unused = size
        self._slow = slow
        self._tuning = tuning
        #: How many calls may be made.
        self.size = size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bulkhead.release(self._unused, slow=self._slow)

    def begin(self, call: Callable[[Job], Result], jobs: Sequence[Job]) -> Calls[Job, Result]:
        """Begin the calls, at most as many as there are permits.

        ``call`` should not raise; if it does, the error is raised where the results are gathered.
        """
        return self.begin_each(lambda job: partial(call, job), jobs)

    def begin_each(self, begin: Callable[[Job], Callable[[], Result]], jobs: Sequence[Job]) -> Calls[Job, Result]:
        """Begin calls of two parts: ``begin`` runs here, for one job after another, and what it returns in a thread.

        ``begin`` must neither wait nor raise. What it returns is called whatever happens, and as in :meth:`begin`.
        """
        calls: Calls[Job, Result] = Calls(self._bulkhead, jobs, slow=self._slow, tuning=self._tuning)
        spare, self._unused = self._unused - len(jobs), 0
        self._bulkhead.release(spare, slow=self._slow)
        calls.begin(begin)
        return calls


class Calls(Generic[Job, Result]):
    """Calls under way. A waiting taker is woken by the first and the last result of a group, not by each."""

    def __init__(self, bulkhead: Bulkhead, jobs: Sequence[Job], *, slow: bool, tuning: BulkheadTuning) -> None:
        """Made by :meth:`Permits.begin`."""
        self._bulkhead = bulkhead
        self._tuning = tuning
        self._jobs = jobs
        self._under_way = {number: _Slot(slow=slow) for number in range(len(jobs))}
        self._come: list[tuple[Job, Result]] = []
        self._errors: list[BaseException] = []
        self._late: Callable[[tuple[Job, Result]], None] | None = None
        self._lock = threading.Lock()
        self._some = threading.Event()
        self._all = threading.Event()

    def begin(self, begin: Callable[[Job], Callable[[], Result]]) -> None:
        """Begin the calls, and hand each to a thread."""
        slots = dict(self._under_way)
        submit, run = self._bulkhead.threads.submit, self._run
        try:
            for number, job in enumerate(self._jobs):
                end, slot = begin(job), slots.pop(number)
                try:
                    submit(run, end, number, slot)
                except BaseException:
                    # What is begun ends, here if need be.
                    run(end, number, slot)
                    raise
        except BaseException:
            # No thread could be started: the slots of those that never began are free again.
            for slot in slots.values():
                self._bulkhead.leave(slot)
            raise

    def groups(
        self, *, patience_s: float | None = None, late: Callable[[tuple[Job, Result]], None] | None = None
    ) -> Iterator[list[tuple[Job, Result]]]:
        """Yield results in groups as they come in, then raise the first error.

        With ``patience_s``, what is still under way after so long is left to itself: its result goes to ``late``. The
        quick share has its permits back long before that.
        """
        began = time.monotonic()
        until = math.inf if patience_s is None else began + patience_s
        moving = began + self._tuning.move_after_s
        while self._under_way or self._come:
            now = time.monotonic()
            if now >= until:
                if group := self._take(late):
                    yield group
                return
            if now >= moving:
                self.left()
                moving = math.inf
            wait_s = min(until, moving) - now
            if self._some.wait(None if math.isinf(wait_s) else wait_s):
                self._all.wait(self._tuning.group_spacing_s)
                if group := self._take(None):
                    yield group
        if self._errors:
            raise self._errors[0]

    @property
    def is_under_way(self) -> bool:
        """Whether a call has not ended."""
        return bool(self._under_way)

    def left(self) -> list[Job]:
        """Move what is still under way to the slow share, and return it."""
        with self._lock:
            under_way = dict(self._under_way)
        self._bulkhead.move(list(under_way.values()))
        return [self._jobs[number] for number in under_way]

    def _take(self, late: Callable[[tuple[Job, Result]], None] | None) -> list[tuple[Job, Result]]:
        """Return what has come; what comes after that goes to ``late``, where one is given."""
        with self._lock:
            self._late = late
            # Before anything that comes from now on, which is announced anew.
            self._some.clear()
            come, self._come = self._come, []
        return come

    def _run(self, end: Callable[[], Result], number: int, slot: _Slot) -> None:
        try:
            result = end()
        except BaseException as error:  # noqa: BLE001 - handed over, and raised where the results are gathered
            self._put(number, error=error)
        else:
            self._put(number, come=(self._jobs[number], result))
        finally:
            self._bulkhead.leave(slot)

    def _put(self, number: int, *, come: tuple[Job, Result] | None = None, error: BaseException | None = None) -> None:
        with self._lock:
            del self._under_way[number]
            late = self._late
            if error is not None:
                self._errors.append(error)
            elif come is not None and late is None:
                self._come.append(come)
            if not self._under_way:
                self._all.set()
            if not self._some.is_set():
                self._some.set()
        if late is not None and come is not None:
            late(come)
