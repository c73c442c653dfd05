"""Work that one thread does for all: nothing is left behind, whoever comes when, and whatever fails."""

from __future__ import annotations

import threading
from uuid import uuid4

import pytest

from noteflow_hooks.concurrency.coalescer import Coalescer


def test_one_alone_gets_what_it_brought() -> None:
    """A batch comes even where nothing was named: others may wait in the database."""
    combined = Coalescer(most=10)
    ids = [uuid4(), uuid4()]
    assert list(combined.batches(ids)) == [ids]
    assert list(combined.batches([])) == [[]]


def test_who_comes_meanwhile_leaves_its_ids_to_the_one_at_work() -> None:
    """It gets nothing itself; in batches of the most that one may have, the other gets all."""
    combined = Coalescer(most=2)
    first, second = [uuid4()], [uuid4(), uuid4(), uuid4()]
    batches = combined.batches(first)
    assert next(batches) == first
    assert list(combined.batches(second)) == []
    assert list(batches) == [second[:2], second[2:]]


def test_it_goes_on_while_there_is_more() -> None:
    """Once for each time that it is asked to."""
    combined = Coalescer(most=2)
    batches = combined.batches([])
    assert next(batches) == []
    combined.go_on()
    assert next(batches) == []
    assert list(batches) == []


@pytest.mark.parametrize("error", [RuntimeError, GeneratorExit])
def test_what_waits_is_the_next_ones_where_one_fails(error: type[BaseException]) -> None:
    """Neither an error nor a task that is given up leaves others waiting for ever."""
    combined = Coalescer(most=10)
    batches = combined.batches([uuid4()])
    next(batches)
    left = [uuid4()]
    assert list(combined.batches(left)) == []
    with pytest.raises(error):
        batches.throw(error())
    own = [uuid4()]
    assert list(combined.batches(own)) == [left + own]


def test_no_id_is_lost_between_many_threads() -> None:
    """Each comes out once, whoever brought it."""
    combined = Coalescer(most=7)
    brought = [[uuid4() for _ in range(3)] for _ in range(400)]
    came: list[object] = []

    def work(mine: list[int]) -> None:
        for number in mine:
            for batch in combined.batches(brought[number]):
                came.extend(batch)

    threads = [threading.Thread(target=work, args=[list(range(start, 400, 8))]) for start in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, came)) == sorted(str(each) for ids in brought for each in ids)
