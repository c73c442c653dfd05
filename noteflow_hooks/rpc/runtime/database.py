"""Use cases run in threads, and callers stop waiting in time: a database that hangs never freezes the server.

A caller waits for a database that is busy, but not for one that is silent: its call ends with
:class:`UnavailableError` once no call at all has succeeded for ``deadline``. A use case that nobody waits for any more
is not begun, and where it was begun, not committed.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from noteflow_hooks.errors import UnavailableError
from noteflow_hooks.rpc.runtime.fair_queue import current_lane
from noteflow_hooks.rpc.runtime.groups import Groups
from noteflow_hooks.rpc.runtime.places import LoopJob, LoopPlaces
from noteflow_hooks.rpc.runtime.threads import DaemonThreads

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork
    from noteflow_hooks.rpc.runtime.fair_queue import Lane
    from noteflow_hooks.rpc.runtime.places import Job

Item = TypeVar("Item")
T = TypeVar("T")

#: How long the database may be silent. Less than the 2 s within which a call must be answered with UNAVAILABLE.
DEADLINE: Final = timedelta(seconds=1.5)
#: How long a caller waits for a database that is busy with other calls.
PATIENCE: Final = timedelta(seconds=30)
#: How many calls may be under way or wait for a thread; further ones are refused at once.
BACKLOG: Final = 10_000
#: The most of the threads that lists may take.
READS_SHARE: Final = 0.5
#: How long a server that stops waits for what its calls have left under way.
LAST_WORK: Final = timedelta(seconds=1)
#: How often it is looked who has waited for too long.
_CHECKED_EVERY_S: Final = 0.02
_SILENT: Final = "the database does not answer in time; try again"


class Database:
    """The way from the event loop to the store. Make it inside the running loop."""

    def __init__(
        self,
        units: Callable[[], UnitOfWork],
        *,
        threads: int,
        reads_share: float = READS_SHARE,
        deadline: timedelta = DEADLINE,
        patience: timedelta = PATIENCE,
        backlog: int = BACKLOG,
        in_loop: bool = False,
    ) -> None:
        """``threads`` is best the size of the store's connection pool: more would only wait for connections.

        Lists take at most ``reads_share`` of them, and leave one at least where there are several.
        """
        self.units = units
        self._loop = asyncio.get_running_loop()
        self._count = threads
        kind = LoopPlaces if in_loop else DaemonThreads
        self._threads = kind(threads, name="database", most_lists=most_lists(threads, reads_share))
        self._deadline_s = deadline.total_seconds()
        self._patience_s = patience.total_seconds()
        self._backlog = backlog
        self._under_way: set[Job[Any]] = set()
        #: Done once nothing is under way, where somebody waits for that.
        self._all_done: asyncio.Future[None] | None = None
        #: Calls that still occupy a thread although their caller has stopped waiting.
        self._stuck: set[Job[Any]] = set()
        #: When a call last succeeded, by the loop's clock.
        self._answered_at = self._loop.time()
        #: Who waits for a job, and since when, by the loop's clock.
        self._waiting: dict[asyncio.Future[None], float] = {}
        self._timer: asyncio.TimerHandle | None = None
        #: By what stores them.
        self._groups: dict[Callable[..., Any], Groups[Any, Any]] = {}

    async def run(self, use_case: Callable[[UnitOfWork], T], *, is_large: bool = False) -> T:
        """Run the use case in a unit of work of its own and commit it, unless the caller stops waiting before.

        One that ``is_large`` may work for longer than others should wait for Python, without giving way to them.
        """
        caller = _Caller()

        def transact() -> T:
            with self.units() as unit:
                result = use_case(unit)
                if caller.gone:
                    raise UnavailableError(_SILENT)
                unit.commit()
                return result

        try:
            return await self._answer(transact, blocks=is_large)
        finally:
            caller.gone = True

    async def call(self, work: Callable[[], T]) -> T:
        """Run what makes its own units of work. It may finish, and commit, after its caller stopped waiting."""
        return await self._answer(work, blocks=True)

    async def store(self, store: Callable[[list[Item]], Sequence[T]], items: Sequence[Item]) -> list[T]:
        """Have ``store`` store and commit the items, together with what others bring meanwhile; return their outcomes.

        It is given the items of several callers and returns one outcome for each. What it raises all of them get. It
        may finish, and commit, after its callers stopped waiting.
        """
        groups = self._groups.get(store)
        if groups is None:
            groups = self._groups[store] = Groups(store, self, silent=_SILENT)
        return await groups.store(items, key=current_lane().key)

    def begin(
        self, work: Callable[[], T], *, lane: Lane, then: Callable[[Job[T]], object], blocks: bool = False
    ) -> Job[T]:
        """Run it, and call ``then`` in the loop with what came of it; nobody waits for it here.

        ``blocks`` says that it waits for something else than the store.
        """
        if len(self._stuck) >= self._count or len(self._under_way) >= self._backlog:
            raise UnavailableError(_SILENT)
        job = self._threads.submit(work, lane=lane, blocks=blocks)
        self._under_way.add(job)
        job.add_done_callback(partial(self._tell, then))
        return job

    def is_silent(self, began: float) -> bool:
        """Tell whether who has waited since then is to wait no longer, for a silent database or a busy one."""
        return self._until(began) <= self._loop.time()

    def give_up(self, job: Job[Any]) -> None:
        """Count a job that nobody waits for any more among those that hang, until it has ended."""
        self._stuck.add(job)
        # Where the job has ended meanwhile this is called at once, so that no entry stays behind.
        job.add_done_callback(self._stuck.discard)

    @property
    def waiting(self) -> int:
        """How many calls wait for a thread."""
        return max(0, len(self._under_way) - self._count)

    async def finish(self, *, within: timedelta = LAST_WORK) -> None:
        """Wait, as long as ``within``, for what is under way though its callers have gone: it has connections lent."""
        if self._under_way:
            self._all_done = self._loop.create_future()
            await asyncio.wait([self._all_done], timeout=within.total_seconds())

    def close(self) -> None:
        """Let the threads end. Those that hang in the database end with the process."""
        self._threads.close(timeout_s=0.0 if self._stuck else 1.0)

    async def _answer(self, work: Callable[[], T], *, blocks: bool) -> T:
        answer: asyncio.Future[None] = self._loop.create_future()
        job = self.begin(work, lane=current_lane(), then=lambda _: _wake(answer), blocks=blocks)
        self._waiting[answer] = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(_CHECKED_EVERY_S, self._end_patience)
        try:
            await answer
        finally:
            del self._waiting[answer]
            # One that still waits for its turn never runs.
            is_given_up = job.cancel() or not job.done()
        if is_given_up:
            self.give_up(job)
            raise UnavailableError(_SILENT)
        return job.result()

    def _end_patience(self) -> None:
        """Have those go on who have waited for too long."""
        self._timer = None
        now = self._loop.time()
        for answer, began in self._waiting.items():
            if self._until(began) <= now:
                _wake(answer)
        if self._waiting:
            self._timer = self._loop.call_later(_CHECKED_EVERY_S, self._end_patience)

    def _tell(self, then: Callable[[Job[T]], object], job: Job[T]) -> None:
        """Call ``then`` in the loop; called there or in the job's thread."""
        if isinstance(job, LoopJob):
            self._ended(then, job)
            return
        # The loop may be over before the thread that hung in the database.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._ended, then, job)

    def _ended(self, then: Callable[[Job[T]], object], job: Job[T]) -> None:
        self._under_way.discard(job)
        if not self._under_way and self._all_done is not None:
            _wake(self._all_done)
        if not job.cancelled():
            if not isinstance(job.exception(), UnavailableError):
                self._answered_at = self._loop.time()
            then(job)

    def _until(self, began: float) -> float:
        """Return until when who has waited since ``began`` waits."""
        silent_from = max(began, self._answered_at)
        return min(silent_from + self._deadline_s, began + self._patience_s)


def most_lists(threads: int, share: float) -> int:
    """Return how many of the threads lists may take: one at least, and not the last one where there are others."""
    return max(1, min(int(threads * share), threads - 1))


class _Caller:
    """Whether a caller still waits for the result; written by the event loop, read by a thread."""

    __slots__ = ("gone",)

    def __init__(self) -> None:
        self.gone = False


def _wake(answer: asyncio.Future[None]) -> None:
    if not answer.done():
        answer.set_result(None)
