"""What callers bring while a group is under way is the next one; nobody waits who need not, and nobody starves."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from noteflow_hooks.errors import UnavailableError
from noteflow_hooks.persistence.memory import InMemoryUnitOfWork, MemoryStore
from noteflow_hooks.rpc.runtime.database import Database
from noteflow_hooks.rpc.runtime.fair_queue import Lane, enter_lane
from noteflow_hooks.rpc.runtime.groups import ITEMS_PER_GROUP
from tests.support.waiting import PATIENCE_S, until

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence


class Store:
    """Keeps groups, each once it is let through."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self._let_through = threading.Semaphore(0)
        #: What is locked: a group with such an item waits for :attr:`unlocked`.
        self.locked: set[str] = set()
        self.unlocked = threading.Event()

    def __call__(self, items: Sequence[str]) -> Sequence[str]:
        self.groups.append(list(items))
        if self.locked.intersection(items):
            assert self.unlocked.wait(PATIENCE_S)
        else:
            assert self._let_through.acquire(timeout=PATIENCE_S)
        return [each.upper() for each in items]

    def let_through(self, groups: int = 1) -> None:
        """Let so many groups be stored."""
        self._let_through.release(groups)


def in_database(
    scenario: Callable[[Database, Store], Coroutine[Any, Any, None]], *, deadline: timedelta = timedelta(minutes=1)
) -> None:
    """Run it over a database with four threads, in which a store is kept."""

    async def run() -> None:
        database = Database(partial(InMemoryUnitOfWork, MemoryStore()), threads=4, deadline=deadline)
        try:
            await scenario(database, Store())
        finally:
            database.close()

    asyncio.run(run())


def bring(database: Database, store: Store, *items: str, key: str = "") -> asyncio.Task[list[str]]:
    """Bring items as one caller."""

    async def call() -> list[str]:
        enter_lane(Lane(key or items[0]))
        return await database.store(store, items)

    return asyncio.create_task(call())


async def seen(condition: Callable[[], bool]) -> None:
    """Wait until it holds."""
    await asyncio.to_thread(until, condition, what="the store gets there")


def test_who_comes_while_a_group_is_under_way_shares_the_next_one() -> None:
    """The first waits for nobody, and each gets the outcomes of its own items."""

    async def scenario(database: Database, store: Store) -> None:
        first = bring(database, store, "a")
        await seen(lambda: len(store.groups) == 1)
        others = [bring(database, store, *items) for items in (("b", "c"), ("d",))]
        store.let_through()
        assert await first == ["A"]
        store.let_through()
        assert list(await asyncio.gather(*others)) == [["B", "C"], ["D"]]
        assert store.groups == [["a"], ["b", "c", "d"]]

    in_database(scenario)


def test_a_flood_leaves_room_for_the_others() -> None:
    """Workspaces take turns at a group's places: one with a thousand calls in front of it is in the next group."""

    async def scenario(database: Database, store: Store) -> None:
        first = bring(database, store, "a")
        await seen(lambda: len(store.groups) == 1)
        flood = [bring(database, store, "f", key="flood") for _ in range(3 * ITEMS_PER_GROUP)]
        quiet = bring(database, store, "q", key="quiet")
        await asyncio.sleep(0)
        store.let_through(2)
        assert await first == ["A"]
        assert await quiet == ["Q"]
        assert len(store.groups[1]) == ITEMS_PER_GROUP
        store.let_through(9)
        await asyncio.gather(*flood)

    in_database(scenario)


def test_what_one_is_locked_by_holds_back_nobody_else_for_long() -> None:
    """Its own later calls wait with it, in a group of their own; all others go on."""

    async def scenario(database: Database, store: Store) -> None:
        store.locked = {"l"}
        locked = bring(database, store, "l", key="locked")
        await seen(lambda: len(store.groups) == 1)
        store.let_through(99)
        assert await bring(database, store, "o", key="other") == ["O"]
        again = bring(database, store, "l", key="locked")
        assert await bring(database, store, "p", key="other") == ["P"]
        assert not locked.done()
        assert not again.done()
        store.unlocked.set()
        assert list(await asyncio.gather(locked, again)) == [["L"], ["L"]]
        assert all(len(group) == 1 for group in store.groups)

    in_database(scenario)


def test_who_was_caught_with_a_locked_one_goes_on_alone() -> None:
    """Innocent as it is: what it brings next waits for no lock."""

    async def scenario(database: Database, store: Store) -> None:
        store.locked = {"l"}
        first = bring(database, store, "a")
        await seen(lambda: len(store.groups) == 1)
        locked, caught = bring(database, store, "l", key="locked"), bring(database, store, "c", key="caught")
        await asyncio.sleep(0)
        store.let_through(99)
        assert await first == ["A"]
        await seen(lambda: len(store.groups) == 2)
        assert await bring(database, store, "d", key="caught") == ["D"]
        assert not caught.done()
        store.unlocked.set()
        assert list(await asyncio.gather(locked, caught)) == [["L"], ["C"]]

    in_database(scenario)


def test_items_whose_caller_left_before_their_group_began_are_not_stored() -> None:
    """Nobody would learn of them."""

    async def scenario(database: Database, store: Store) -> None:
        first = bring(database, store, "a")
        await seen(lambda: len(store.groups) == 1)
        gone, there = bring(database, store, "g"), bring(database, store, "t")
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        store.let_through(2)
        assert list(await asyncio.gather(first, there)) == [["A"], ["T"]]
        assert store.groups == [["a"], ["t"]]

    in_database(scenario)


def test_what_a_group_raises_all_of_it_get() -> None:
    """Each an error of its own, and the next group is none the worse."""

    async def scenario(database: Database, _: Store) -> None:
        calls = deque([UnavailableError("away", detail="why")])

        def store(items: Sequence[str]) -> Sequence[str]:
            if calls:
                raise calls.popleft()
            return items

        with pytest.raises(UnavailableError, match="away") as caught:
            await database.store(store, ["a"])
        assert caught.value.detail == "why"
        assert await database.store(store, ["b"]) == ["b"]

    in_database(scenario)


def test_nobody_waits_for_a_silent_database() -> None:
    """Neither who is under way nor who waits for a group; and once it answers again, all is well."""

    async def scenario(database: Database, store: Store) -> None:
        store.locked = {"l"}
        calls = [bring(database, store, "l", key=key) for key in "abcdefgh"]
        for outcome in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(outcome, UnavailableError)
        store.unlocked.set()
        store.let_through(99)
        await seen(lambda: not database.waiting)
        assert await bring(database, store, "o") == ["O"]

    in_database(scenario, deadline=timedelta(seconds=0.2))
