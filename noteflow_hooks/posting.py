"""The threads that POST: a bounded number in a process, shared by all its tasks. Under gevent they are greenlets."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

Job = TypeVar("Job")
Result = TypeVar("Result")

#: While others are under way, results are handed over in groups at least this far apart: each costs its taker a
#: transaction. What comes last, and so a lone result, is handed over at once.
_GROUP_SPACING_S: Final = 0.02
#: How long to wait for all the room that is wanted, before less will do. Quick receivers give a chunk's room back in
#: less; without the wait a busy process claims a few rows at a time, and pays for each claim as for a full one.
_PATIENCE_S: Final = 0.1


class PostingPool:
    """Runs calls concurrently, at most ``size`` at once; whoever wants to make some reserves room first."""

    def __init__(self, size: int) -> None:
        """``size`` is the most calls that this process has under way at once."""
        self._size = size
        self._free = size
        self._wanted = 1
        # One at a time waits for room, so that a place that becomes free wakes one thread and not all.
        self._turn = threading.Lock()
        self._changed = threading.Condition()
        self._threads: ThreadPoolExecutor | None = None

    def reserve(self, wanted: int) -> Reservation:
        """Wait for room, at first for all that is wanted, after a moment for one call at least; take what is free."""
        with self._turn, self._changed:
            self._wait_for_room(min(wanted, self._size), timeout_s=_PATIENCE_S)
            self._wait_for_room(1, timeout_s=None)
            taken = min(wanted, self._free)
            self._free -= taken
        return Reservation(self, taken)

    def release(self, count: int) -> None:
        """Give that much room back."""
        with self._changed:
            self._free += count
            if self._free >= self._wanted:
                self._changed.notify()

    def submit(self, call: Callable[..., None], *args: Any) -> None:  # noqa: ANN401 - the call's own arguments
        """Make the call in one of the threads."""
        # Made late: a prefork worker's children must not inherit threads that don't exist after the fork.
        with self._changed:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(self._size, thread_name_prefix="post")
        self._threads.submit(call, *args)

    def close(self) -> None:
        """Wait for what is under way, and end the threads."""
        if self._threads is not None:
            self._threads.shutdown()

    def _wait_for_room(self, wanted: int, *, timeout_s: float | None) -> None:
        self._wanted = wanted
        self._changed.wait_for(lambda: self._free >= wanted, timeout=timeout_s)


class Reservation:
    """Room for some calls. Each gives its place back as it ends; leaving the ``with`` block gives back the rest."""

    def __init__(self, pool: PostingPool, size: int) -> None:
        """Made by :meth:`PostingPool.reserve`."""
        self._pool = pool
        self._unused = size
        #: How many calls there is room for.
        self.size = size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.release(self._unused)

    def run(self, call: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterator[list[tuple[Job, Result]]]:
        """Make the calls, at most as many as there is room for, and yield their results in groups as they come in.

        ``call`` should not raise; if it does, the error is raised here after the other results.
        """
        self._pool.release(self._unused - len(jobs))
        self._unused = 0
        results: _Results[Job, Result] = _Results(len(jobs))
        if len(jobs) == 1:
            # All that an idle system has to do, done right here: no thread need wake up for it.
            self._run_one(call, jobs[0], results)
        else:
            self._submit_all(call, jobs, results)
        yield from results.groups()

    def _submit_all(self, call: Callable[[Job], Result], jobs: Sequence[Job], results: _Results[Job, Result]) -> None:
        submitted = 0
        try:
            for job in jobs:
                self._pool.submit(self._run_one, call, job, results)
                submitted += 1
        except BaseException:
            # No thread could be started: the places of those that never began are free again.
            self._pool.release(len(jobs) - submitted)
            raise

    def _run_one(self, call: Callable[[Job], Result], job: Job, results: _Results[Job, Result]) -> None:
        try:
            results.put((job, call(job)))
        except BaseException as error:  # noqa: BLE001 - handed over, and raised where the results are gathered
            results.put(error)
        finally:
            self._pool.release(1)


class _Results(Generic[Job, Result]):
    """What comes in from the threads. A waiting taker is woken by the first and the last of a group, not by each."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._left = count
        self._come: deque[tuple[Job, Result] | BaseException] = deque()
        self._lock = threading.Lock()
        self._some = threading.Event()
        self._all = threading.Event()

    def put(self, outcome: tuple[Job, Result] | BaseException) -> None:
        """Hand over a job with its result, or the error that the call raised."""
        self._come.append(outcome)
        with self._lock:
            self._left -= 1
            if not self._left:
                self._all.set()
        self._some.set()

    def groups(self) -> Iterator[list[tuple[Job, Result]]]:
        """Yield groups until all are in, then raise the first error."""
        taken, errors = 0, []
        while taken < self._count:
            self._some.wait()
            self._all.wait(_GROUP_SPACING_S)
            # Before the look: what comes after it is announced anew.
            self._some.clear()
            come = [self._come.popleft() for _ in range(len(self._come))]
            taken += len(come)
            errors += [each for each in come if isinstance(each, BaseException)]
            if group := [each for each in come if not isinstance(each, BaseException)]:
                yield group
        if errors:
            raise errors[0]
