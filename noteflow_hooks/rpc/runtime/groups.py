"""Group commit for callers in the event loop: what they bring while a statement is under way is the next one, together.

An idle caller waits for nobody. Workspaces take turns at the places of a group, so that a flood of one leaves room for
the others. What one of them is locked by holds back the others only for a moment: a group that is under way for longer
is passed by, and the workspaces in it go on alone.
"""

from __future__ import annotations

import asyncio
import copy
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

from noteflow_hooks.errors import UnavailableError
from noteflow_hooks.rpc.runtime.fair_queue import Lane

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

    from noteflow_hooks.rpc.runtime.places import Job

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

#: A group with so many items is full. Those of one caller stay together, so it may have some more.
ITEMS_PER_GROUP: Final = 100
#: A group that takes longer no longer holds the others back.
PATIENCE_S: Final = 0.1
#: So many groups may be under way at once: one of all callers, and those that take long.
GROUPS_AT_ONCE: Final = 4
#: Where a group stands in line for a thread: one for all callers.
_LANE: Final = Lane("groups")
_CHECKED_EVERY_S: Final = 0.05


class Threads(Protocol):
    """What the groups need of the database."""

    def begin(self, work: Callable[[], Any], *, lane: Lane, then: Callable[[Job[Any]], object]) -> Job[Any]:
        """Run it, and call ``then`` in the loop with what came of it."""
        ...

    def is_silent(self, began: float) -> bool:
        """Tell whether who has waited since then is to wait no longer."""
        ...

    def give_up(self, job: Job[Any]) -> None:
        """Count a job that nobody waits for any more among those that hang."""
        ...


@dataclass(slots=True, eq=False)
class _Ticket(Generic[Item, Outcome]):
    """What one caller brought, and waits for."""

    items: Sequence[Item]
    key: Hashable
    began: float
    answer: asyncio.Future[list[Outcome]]


@dataclass(slots=True, eq=False)
class _Group(Generic[Item, Outcome]):
    """Tickets that are under way."""

    tickets: list[_Ticket[Item, Outcome]]
    began: float
    #: Whether its callers go on alone, and it with them; a group of one key's from its begin.
    is_slow: bool = False
    job: Job[list[Outcome]] | None = None
    keys: set[Hashable] = field(default_factory=set)


class Groups(Generic[Item, Outcome]):
    """The groups of one kind of store. Belongs to the running event loop."""

    def __init__(self, store: Callable[[list[Item]], Sequence[Outcome]], threads: Threads, *, silent: str) -> None:
        """``store`` returns one outcome for each item; who waits in vain gets UnavailableError that says ``silent``."""
        self._store = store
        self._threads = threads
        self._silent = silent
        self._loop = asyncio.get_running_loop()
        #: By key, who has waited longest first; no key has none. Keys in the order of their turns.
        self._waiting: dict[Hashable, deque[_Ticket[Item, Outcome]]] = {}
        self._under_way: set[_Group[Item, Outcome]] = set()
        self._timer: asyncio.TimerHandle | None = None
        #: Whether groups begin with the loop's next pass.
        self._begins = False

    async def store(self, items: Sequence[Item], *, key: Hashable) -> list[Outcome]:
        """Return the outcomes of the items once they are stored; raise what their group raises.

        Items whose caller is cancelled before their group begins are not stored.
        """
        ticket: _Ticket[Item, Outcome] = _Ticket(items, key, self._loop.time(), self._loop.create_future())
        self._waiting.setdefault(key, deque()).append(ticket)
        if not self._begins:
            # Who has come by the same pass of the loop goes along.
            self._begins = True
            self._loop.call_soon(self._begin_groups)
        if self._timer is None:
            self._timer = self._loop.call_later(_CHECKED_EVERY_S, self._check)
        return await ticket.answer

    def _begin_groups(self) -> None:
        self._begins = False
        while self._waiting and len(self._under_way) < GROUPS_AT_ONCE and (tickets := self._next_tickets()):
            self._begin(tickets)

    def _next_tickets(self) -> list[_Ticket[Item, Outcome]]:
        """Return the next group's: of all keys, or of one that goes on alone; none where those are under way."""
        if not self._under_way:
            return self._take(list(self._waiting))
        alone = {key for group in self._under_way if group.is_slow for key in group.keys}
        if all(group.is_slow for group in self._under_way) and (others := [k for k in self._waiting if k not in alone]):
            return self._take(others)
        # The last place is kept for the group of all the others.
        if len(self._under_way) < GROUPS_AT_ONCE - 1:
            own = {next(iter(group.keys)) for group in self._under_way if len(group.keys) == 1}
            for key in self._waiting:
                if key in alone - own:
                    return self._take([key])
        return []

    def _take(self, keys: list[Hashable]) -> list[_Ticket[Item, Outcome]]:
        """Take tickets of these keys by turns until a group is full; the others' turns come first the next time."""
        taken: list[_Ticket[Item, Outcome]] = []
        count = 0
        while keys:
            for key in keys:
                own = self._waiting.pop(key)
                ticket = own.popleft()
                if own:
                    self._waiting[key] = own
                if not ticket.answer.done():
                    taken.append(ticket)
                    count += len(ticket.items)
                if count >= ITEMS_PER_GROUP:
                    return taken
            keys = [key for key in keys if key in self._waiting]
        return taken

    def _begin(self, tickets: list[_Ticket[Item, Outcome]]) -> None:
        keys = {each.key for each in tickets}
        alone = {key for group in self._under_way if group.is_slow for key in group.keys}
        group = _Group(tickets, self._loop.time(), is_slow=keys <= alone, keys=keys)
        items = [item for ticket in tickets for item in ticket.items]
        try:
            group.job = self._threads.begin(lambda: self._store(items), lane=_LANE, then=partial(self._end, group))
        except UnavailableError as error:
            _fail(tickets, error)
            return
        self._under_way.add(group)

    def _end(self, group: _Group[Item, Outcome], job: Job[list[Outcome]]) -> None:
        self._under_way.discard(group)
        if self._waiting and not self._begins:
            self._begins = True
            self._loop.call_soon(self._begin_groups)
        error = job.exception()
        if error is not None:
            _fail(group.tickets, error)
            return
        outcomes: Iterator[Outcome] = iter(job.result())
        for ticket in group.tickets:
            own = [next(outcomes) for _ in ticket.items]
            if not ticket.answer.done():
                ticket.answer.set_result(own)

    def _check(self) -> None:
        """Pass by groups that take long, and let nobody wait for a database that is silent."""
        self._timer = None
        now = self._loop.time()
        for group in self._under_way:
            group.is_slow = group.is_slow or now - group.began >= PATIENCE_S
            self._end_patience(group.tickets)
            if group.job is not None and all(each.answer.done() for each in group.tickets):
                self._threads.give_up(group.job)
        for own in self._waiting.values():
            self._end_patience(own)
        self._begin_groups()
        if self._under_way or self._waiting:
            self._timer = self._loop.call_later(_CHECKED_EVERY_S, self._check)

    def _end_patience(self, tickets: Iterable[_Ticket[Item, Outcome]]) -> None:
        silent = [each for each in tickets if not each.answer.done() and self._threads.is_silent(each.began)]
        _fail(silent, UnavailableError(self._silent))


def _fail(tickets: Iterable[_Ticket[Any, Any]], error: BaseException) -> None:
    for each in tickets:
        if not each.answer.done():
            # One for each caller: a traceback grows with whoever raises it.
            each.answer.set_exception(copy.copy(error))
