"""The threads that POST: bounded in number, shared by all tasks of a process. Under gevent they are greenlets.

There are two shares. Whoever wants to POST reserves places in the quick one first; what takes long moves over to the
slow one, so that endpoints that hang leave the quick share to the rest.
"""

from __future__ import annotations

import math
import threading
import time
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
#: A call that takes longer than this moves over to the slow share, whatever becomes of it.
_MOVE_AFTER_S: Final = 0.05
#: The part of the places that slow endpoints' turns may take.
_SLOW_SHARE: Final = 4
#: So many times the quick share may be under way in all, with what has moved over. Each costs a thread and a socket.
_ALL: Final = 5


class _Slot:
    """Where one call runs; all places change under their pool's lock."""

    __slots__ = ("is_free", "slow")

    def __init__(self, *, slow: bool) -> None:
        self.slow = slow
        self.is_free = False


class Bulkhead:
    """Runs calls concurrently, at most ``size`` quick ones at once; whoever wants to make some reserves room first."""

    def __init__(self, size: int) -> None:
        """``size`` is the most calls in the quick share."""
        self._size = size
        self._free = size
        self._slow_free = max(1, size // _SLOW_SHARE)
        #: How many calls may yet move over.
        self._movable = (_ALL - 1) * size - self._slow_free
        self._wanted = 1
        #: How many wait urgently.
        self._urgent = 0
        # One at a time waits for room, so that a place that becomes free wakes one thread and not all.
        self._turn = threading.Lock()
        self._changed = threading.Condition()
        self._threads: ThreadPoolExecutor | None = None

    def reserve(self, wanted: int, *, urgent: int = 0) -> Permits:
        """Wait for room, at first for all that is wanted, after a moment for one call at least; take what is free.

        With ``urgent``, wait for one place only, before all others, and where not all is free take no more than that.
        """
        if urgent:
            return self._reserve_urgently(wanted, urgent)
        with self._turn, self._changed:
            self._wait_for_room(min(wanted, self._size), timeout_s=_PATIENCE_S)
            self._wait_for_room(1, timeout_s=None)
            taken = min(wanted, self._free)
            self._free -= taken
        return Permits(self, taken, slow=False)

    def reserve_free(self, wanted: int) -> Permits:
        """Take what is free and nobody waits for urgently, which may be nothing, and wait for none."""
        with self._changed:
            taken = 0 if self._urgent else max(0, min(wanted, self._free))
            self._free -= taken
        return Permits(self, taken, slow=False)

    def reserve_slow(self, wanted: int) -> Permits:
        """Take what is free of the slow share, which may be nothing: nobody waits for what is slow."""
        with self._changed:
            taken = max(0, min(wanted, self._slow_free))
            self._slow_free -= taken
        return Permits(self, taken, slow=True)

    def release(self, count: int, *, slow: bool) -> None:
        """Give that much room back."""
        with self._changed:
            self._give_back(count, slow=slow)

    def leave(self, place: _Slot) -> None:
        """Give a call's place back; it has ended."""
        with self._changed:
            place.is_free = True
            self._give_back(1, slow=place.slow)

    def move(self, places: Sequence[_Slot]) -> None:
        """Move calls that take long over to the slow share, as far as there may be so many."""
        with self._changed:
            for place in places:
                if not (place.slow or place.is_free) and self._slow_free > -self._movable:
                    place.slow = True
                    self._slow_free -= 1
                    self._give_back(1, slow=False)

    def submit(self, call: Callable[..., None], *args: Any) -> None:  # noqa: ANN401 - the call's own arguments
        """Make the call in one of the threads."""
        # Made late: a prefork worker's children must not inherit threads that don't exist after the fork.
        with self._changed:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(_ALL * self._size, thread_name_prefix="post")
        self._threads.submit(call, *args)

    def close(self) -> None:
        """Wait for what is under way, and end the threads."""
        if self._threads is not None:
            self._threads.shutdown()

    def _reserve_urgently(self, wanted: int, urgent: int) -> Permits:
        with self._changed:
            self._urgent += 1
            self._changed.wait_for(lambda: self._free > 0)
            self._urgent -= 1
            taken = min(wanted if self._free >= wanted else urgent, self._free)
            self._free -= taken
        return Permits(self, taken, slow=False)

    def _give_back(self, count: int, *, slow: bool) -> None:
        if slow:
            self._slow_free += count
            return
        self._free += count
        if self._urgent:
            self._changed.notify_all()
        elif self._free >= self._wanted:
            self._changed.notify()

    def _wait_for_room(self, wanted: int, *, timeout_s: float | None) -> None:
        self._wanted = wanted
        self._changed.wait_for(lambda: self._free >= wanted and not self._urgent, timeout=timeout_s)


class Permits:
    """Room for some calls. Each gives its place back as it ends; leaving the ``with`` block gives back the rest."""

    def __init__(self, pool: Bulkhead, size: int, *, slow: bool) -> None:
        """Made by :class:`Bulkhead`."""
        self._pool = pool
        self._unused = size
        self._slow = slow
        #: How many calls there is room for.
        self.size = size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.release(self._unused, slow=self._slow)

    def begin(self, call: Callable[[Job], Result], jobs: Sequence[Job]) -> Calls[Job, Result]:
        """Begin the calls, at most as many as there is room for.

        ``call`` should not raise; if it does, the error is raised where the results are gathered.
        """
        self._pool.release(self._unused - len(jobs), slow=self._slow)
        self._unused = 0
        calls: Calls[Job, Result] = Calls(self._pool, jobs, slow=self._slow)
        calls.begin(call)
        return calls


class Calls(Generic[Job, Result]):
    """Calls under way. A waiting taker is woken by the first and the last result of a group, not by each."""

    def __init__(self, pool: Bulkhead, jobs: Sequence[Job], *, slow: bool) -> None:
        """Made by :meth:`Permits.begin`."""
        self._pool = pool
        self._jobs = jobs
        self._under_way = {number: _Slot(slow=slow) for number in range(len(jobs))}
        self._come: list[tuple[Job, Result]] = []
        self._errors: list[BaseException] = []
        self._late: Callable[[tuple[Job, Result]], None] | None = None
        self._lock = threading.Lock()
        self._some = threading.Event()
        self._all = threading.Event()

    def begin(self, call: Callable[[Job], Result]) -> None:
        """Hand the calls to the threads."""
        places = dict(self._under_way)
        try:
            for number, place in list(places.items()):
                self._pool.submit(self._run, call, number, place)
                del places[number]
        except BaseException:
            # No thread could be started: the places of those that never began are free again.
            for place in places.values():
                self._pool.leave(place)
            raise

    def groups(
        self, *, patience_s: float | None = None, late: Callable[[tuple[Job, Result]], None] | None = None
    ) -> Iterator[list[tuple[Job, Result]]]:
        """Yield results in groups as they come in, then raise the first error.

        With ``patience_s``, what is still under way after so long is left to itself: its result goes to ``late``. The
        quick share has its places back long before that.
        """
        began = time.monotonic()
        until = math.inf if patience_s is None else began + patience_s
        moving = began + _MOVE_AFTER_S
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
                self._all.wait(_GROUP_SPACING_S)
                if group := self._take(None):
                    yield group
        if self._errors:
            raise self._errors[0]

    def left(self) -> list[Job]:
        """Move what is still under way over to the slow share, and return it."""
        with self._lock:
            under_way = dict(self._under_way)
        self._pool.move(list(under_way.values()))
        return [self._jobs[number] for number in under_way]

    def _take(self, late: Callable[[tuple[Job, Result]], None] | None) -> list[tuple[Job, Result]]:
        """Return what has come; what comes after that goes to ``late``, where one is given."""
        with self._lock:
            self._late = late
            # Before anything that comes from now on, which is announced anew.
            self._some.clear()
            come, self._come = self._come, []
        return come

    def _run(self, call: Callable[[Job], Result], number: int, place: _Slot) -> None:
        try:
            result = call(self._jobs[number])
        except BaseException as error:  # noqa: BLE001 - handed over, and raised where the results are gathered
            self._put(number, error=error)
        else:
            self._put(number, come=(self._jobs[number], result))
        finally:
            self._pool.leave(place)

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
            self._some.set()
        if late is not None and come is not None:
            late(come)
