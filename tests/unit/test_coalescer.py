"""Work that one caller leads for all: nothing is left behind, whoever comes when, and whatever fails."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from noteflow_hooks.concurrency.coalescer import Coalescer

if TYPE_CHECKING:
    from collections.abc import Callable


def batches_of(
    coalescer: Coalescer[int], items: list[int], *, meanwhile: Callable[[], object] | None = None
) -> list[list[int]]:
    """Lead to the end and return the batches; during the first one, do something else."""
    batches: list[list[int]] = []
    with coalescer.lead(items) as leadership:
        for batch in leadership:
            if meanwhile is not None and not batches:
                meanwhile()
            batches.append(batch)
    return batches


def test_one_alone_gets_what_it_brought() -> None:
    """A batch comes even where nothing was brought: others may wait in the database."""
    coalescer = Coalescer[int](most=10)
    assert batches_of(coalescer, [1, 2]) == [[1, 2]]
    assert batches_of(coalescer, []) == [[]]


def test_who_comes_meanwhile_leaves_its_items_to_the_leader() -> None:
    """It gets nothing itself; in batches of the most that one may have, the leader gets all."""
    coalescer, others = Coalescer[int](most=2), list[list[int]]()
    led = batches_of(coalescer, [1], meanwhile=lambda: others.extend(batches_of(coalescer, [2, 3, 4])))
    assert (led, others) == ([[1], [2, 3], [4]], [])


def test_it_goes_on_while_there_is_more() -> None:
    """Once for each time that it is asked to."""
    with Coalescer[int](most=2).lead([]) as batches:
        assert next(batches) == []
        batches.go_on()
        assert next(batches) == []
        assert list(batches) == []


def test_what_comes_once_the_leader_has_its_last_batch_leads_itself() -> None:
    """Although the first one is still inside its block, whose end is not the second one's."""
    coalescer, others = Coalescer[int](most=2), ExitStack()
    with coalescer.lead([1]) as batches:
        assert list(batches) == [[1]]
        second = others.enter_context(coalescer.lead([2]))
        assert next(second) == [2]
    assert batches_of(coalescer, [3]) == []
    assert list(second) == [[3]]
    others.close()


class KilledError(BaseException):
    """What ends a task from outside, as gevent's GreenletExit does."""


@pytest.mark.parametrize("error", [RuntimeError, KilledError])
def test_leadership_ends_with_its_block_whoever_keeps_the_traceback(error: type[BaseException]) -> None:
    """Neither an error nor a killed task leaves others waiting for ever: what waits is the next one's."""
    coalescer = Coalescer[int](most=10)

    def fail() -> None:
        with coalescer.lead([1]) as batches:
            kept = iter(batches)
            next(kept)
            assert batches_of(coalescer, [2]) == []
            raise error

    with pytest.raises(error) as caught:
        fail()
    assert caught.tb is not None
    assert batches_of(coalescer, [3]) == [[2, 3]]


def test_a_block_that_is_left_early_leads_no_more() -> None:
    """Its iterator is kept, and asked again: it has nothing."""
    coalescer = Coalescer[int](most=10)
    with coalescer.lead([1]) as batches:
        assert next(batches) == [1]
    assert batches_of(coalescer, [2]) == [[2]]
    assert list(batches) == []


def test_no_item_is_lost_between_many_threads() -> None:
    """Each comes out once, whoever brought it."""
    coalescer = Coalescer[int](most=7)
    came: list[int] = []

    def work(start: int) -> None:
        for number in range(start, 1_200, 24):
            for batch in batches_of(coalescer, [number, number + 8, number + 16]):
                came.extend(batch)

    threads = [threading.Thread(target=work, args=[start]) for start in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(came) == list(range(1_200))
