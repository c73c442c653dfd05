"""The threads that POST: a bounded number in a process, shared by all its tasks. Under gevent they are greenlets."""

from __future__ import annotations

import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

Job = TypeVar("Job")
Result = TypeVar("Result")

#: While others are under way, results are handed over in groups at least this far apart: each costs its taker a
#: transaction. What comes last, and so a lone result, is handed over at once.
_GROUP_SPACING_S: Final = 0.02


class PostingPool:
    """Runs calls concurrently, at most ``size`` at once; whoever wants to make some reserves room first."""

    def __init__(self, size: int) -> None:
        """``size`` is the most calls that this process has under way at once."""
        self._size = size
        self._free = size
        self._changed = threading.Condition()
        self._threads: ThreadPoolExecutor | None = None

    def reserve(self, wanted: int) -> Reservation:
        """Wait until there is room for one call at least, and take as much as is free, up to ``wanted``."""
        with self._changed:
            self._changed.wait_for(lambda: self._free > 0)
            taken = min(wanted, self._free)
            self._free -= taken
        return Reservation(self, taken)

    def release(self, count: int) -> None:
        """Give that much room back."""
        with self._changed:
            self._free += count
            self._changed.notify_all()

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
        done: queue.SimpleQueue[tuple[Job, Result | BaseException]] = queue.SimpleQueue()
        if len(jobs) == 1:
            # All that an idle system has to do, done right here: no thread need wake up for it.
            self._run_one(call, jobs[0], done)
        else:
            for job in jobs:
                self._pool.submit(self._run_one, call, job, done)
        yield from _gather(done, len(jobs))

    def _run_one(
        self,
        call: Callable[[Job], Result],
        job: Job,
        done: queue.SimpleQueue[tuple[Job, Result | BaseException]],
    ) -> None:
        try:
            done.put((job, call(job)))
        except BaseException as error:  # noqa: BLE001 - handed over, and raised where the results are gathered
            done.put((job, error))
        finally:
            self._pool.release(1)


def _gather(
    done: queue.SimpleQueue[tuple[Job, Result | BaseException]], count: int
) -> Iterator[list[tuple[Job, Result]]]:
    errors: list[BaseException] = []
    while count:
        group: list[tuple[Job, Result]] = []
        for job, result in _taken(done, count):
            count -= 1
            if isinstance(result, BaseException):
                errors.append(result)
            else:
                group.append((job, result))
        if group:
            yield group
    if errors:
        raise errors[0]


def _taken(
    done: queue.SimpleQueue[tuple[Job, Result | BaseException]], count: int
) -> Iterator[tuple[Job, Result | BaseException]]:
    """Yield the next result, waited for, and those of up to ``count`` that follow within the spacing."""
    yield done.get()
    until = time.monotonic() + _GROUP_SPACING_S
    for _ in range(count - 1):
        try:
            yield done.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            return
