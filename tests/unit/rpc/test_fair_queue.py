"""Whose turn it is at the database's threads: keys take turns, and lists leave threads to others."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest

from noteflow_hooks.persistence.memory import InMemoryUnitOfWork, MemoryStore
from noteflow_hooks.rpc.runtime.database import Database, most_lists
from noteflow_hooks.rpc.runtime.fair_queue import FairQueue, Lane, enter_lane
from tests.support.waiting import PATIENCE_S, until

if TYPE_CHECKING:
    from collections.abc import Callable

HOSTILE, QUIET = Lane("hostile"), Lane("quiet")
LISTS = Lane("hostile", is_list=True)


def _taken(queue: FairQueue[str], count: int) -> list[str]:
    found = (queue.get() for _ in range(count))
    return [each[0] for each in found if each is not None]


def test_who_asks_once_waits_for_one_other_call_and_not_for_a_hundred() -> None:
    """However many calls of another workspace stand in line."""
    queue: FairQueue[str] = FairQueue(most_lists=1)
    for number in range(100):
        queue.put(f"hostile {number}", HOSTILE)
    queue.put("quiet", QUIET)
    assert _taken(queue, 4) == ["hostile 0", "quiet", "hostile 1", "hostile 2"]


def test_lists_and_other_calls_take_turns_until_the_lists_have_their_share() -> None:
    """One that ends makes room for the next one."""
    queue: FairQueue[str] = FairQueue(most_lists=2)
    for number in range(4):
        queue.put(f"list {number}", LISTS)
        queue.put(f"call {number}", HOSTILE)
    assert _taken(queue, 6) == ["call 0", "list 0", "call 1", "list 1", "call 2", "call 3"]
    queue.done(LISTS)
    assert _taken(queue, 1) == ["list 2"]


def test_a_closed_queue_gives_out_what_waits_and_then_ends() -> None:
    """Lists too, each in its turn."""
    queue: FairQueue[str] = FairQueue(most_lists=1)
    queue.put("list 0", LISTS)
    queue.put("list 1", LISTS)
    queue.close()
    assert _taken(queue, 1) == ["list 0"]
    queue.done(LISTS)
    assert _taken(queue, 1) == ["list 1"]
    assert queue.get() is None


@pytest.mark.parametrize(("threads", "share", "most"), [(10, 0.5, 5), (4, 0.1, 1), (4, 1.0, 3), (1, 1.0, 1)])
def test_lists_get_a_thread_at_least_and_leave_one(threads: int, share: float, most: int) -> None:
    """Where there is only one, they have it."""
    assert most_lists(threads, share) == most


def test_lists_that_hang_leave_threads_to_other_calls() -> None:
    """Forty of them occupy half of the threads, and the other half answers."""
    go_on, under_way = threading.Event(), []

    def hang() -> None:
        under_way.append(1)
        go_on.wait(PATIENCE_S)

    async def call(database: Database, lane: Lane, work: Callable[[], None]) -> None:
        enter_lane(lane)
        await database.call(work)

    async def scenario() -> None:
        database = Database(partial(InMemoryUnitOfWork, MemoryStore()), threads=4, reads_share=0.5)
        lists = [asyncio.create_task(call(database, LISTS, hang)) for _ in range(40)]
        await asyncio.to_thread(until, lambda: len(under_way) == 2, what="the lists have their share")
        for _ in range(20):
            await asyncio.create_task(call(database, HOSTILE, lambda: None))
        assert len(under_way) == 2
        go_on.set()
        await asyncio.gather(*lists)
        database.close()

    asyncio.run(scenario())
