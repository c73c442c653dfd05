"""Group commit: what contends for the same rows is stored together, by one thread of a process for all who wait.

Stored side by side, each batch would hold a connection and stand in line for the same lock. What comes while a store
is under way is the next group, as a whole, so that a lone batch waits for nobody.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


class Committed(NamedTuple, Generic[Outcome]):
    """What came of the group that a batch was stored with."""

    outcome: Outcome
    #: Whether this caller is the one of the group who sees to what follows from all of it.
    leads: bool


class GroupCommit(Generic[Item, Outcome]):
    """One for a process."""

    def __init__(self, store: Callable[[list[Item], float], Outcome]) -> None:
        """``store`` is given the items of a group, and the latest moment that was named with any; it may wait."""
        self._store = store
        self._lock = threading.Lock()
        #: Who has it stores.
        self._storing = threading.Lock()
        self._gathering: _Group[Item, Outcome] = _Group()

    def commit(self, items: list[Item], until: float) -> Committed[Outcome]:
        """Return once they are stored, or raise what storing their group raised.

        ``until`` is a moment by this process's clock, for ``store``. The first one of a group stores it. If that one is
        ended while it waits for its turn to store, so are the others of its group, by the same error.
        """
        with self._lock:
            group = self._gathering
            leads = not group.items
            group.items += items
            group.until = max(group.until, until)
        if leads:
            self._lead(group)
        return Committed(group.outcome.result(), leads)

    def _lead(self, group: _Group[Item, Outcome]) -> None:
        try:
            with self._storing:
                with self._lock:
                    self._gathering = _Group()
                group.outcome.set_result(self._store(group.items, group.until))
        except BaseException as error:  # noqa: BLE001 - handed over to all who wait, and raised there: a killed leader's too
            # Without the lock, which could be the next thing to wait for: only its leader replaces a group.
            if self._gathering is group:
                self._gathering = _Group()
            group.outcome.set_exception(error)


class _Group(Generic[Item, Outcome]):
    def __init__(self) -> None:
        self.items: list[Item] = []
        self.until = 0.0
        self.outcome: Future[Outcome] = Future()
