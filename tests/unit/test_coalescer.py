"""Work that one caller leads for all: nothing is left behind, whoever comes when, and whatever fails."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest

from noteflow_hooks.concurrency.coalescer import Coalescer
from tests.support.waiting import PATIENCE_S, until

if TYPE_CHECKING:
    from collections.abc import Callable


def batches_of(
    coalescer: Coalescer[int], items: list[int], *, meanwhile: Callable[[], object] | None = None
) -> list[list[int]]:
    """Lead to the end and return the batches; during the first one, do something else."""
    batches: list[list[int]] = []
    with coalescer.lead(items) as leadership:
        batch = leadership.first
        while batch is not None:
            if meanwhile is not None and not batches:
                meanwhile()
            batches.append(batch)
            batch = leadership.further()
    return batches


def test_one_alone_gets_what_it_brought() -> None:
    """A batch comes even where nothing was brought: others may wait in the database."""
    coalescer = Coalescer[int](most=10)
    assert batches_of(coalescer, [1, 2]) == [[1, 2]]
    assert batches_of(coalescer, []) == [[]]


class Others:
    """Callers that come while another leads: each in a thread, and in order."""

    def __init__(self, coalescer: Coalescer[int]) -> None:
        self._coalescer = coalescer
        self._threads: list[threading.Thread] = []
        #: The batches of each.
        self.batches: list[list[list[int]]] = []

    def come(self, items: list[int], *, waits: bool) -> None:
        """Have one more bring items; return once it waits, or has gone."""
        own: list[list[int]] = []
        self.batches.append(own)
        thread = threading.Thread(target=lambda: own.extend(batches_of(self._coalescer, items)))
        self._threads.append(thread)
        thread.start()
        if waits:
            until(lambda: self._coalescer._has_next, what="it waits to lead")  # noqa: SLF001 - nothing else tells
        else:
            thread.join(PATIENCE_S)

    def all_done(self) -> list[list[list[int]]]:
        for thread in self._threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()
        return self.batches


def test_who_comes_meanwhile_waits_to_lead_and_the_rest_leave_it_their_items() -> None:
    """So that the first one goes on with what came of its own batch; too many items are several batches."""
    coalescer = Coalescer[int](most=3)
    others = Others(coalescer)

    def meanwhile() -> None:
        others.come([2], waits=True)
        others.come([3], waits=False)
        others.come([4, 5], waits=False)

    assert batches_of(coalescer, [1], meanwhile=meanwhile) == [[1]]
    assert others.all_done() == [[[4, 2, 3], [5]], [], []]


def test_of_too_much_half_is_the_last_ones() -> None:
    """Who brings a flood holds up nobody who comes after it; and the oldest waits for no newer ones for ever."""
    coalescer = Coalescer[int](most=4)
    others = Others(coalescer)

    def meanwhile() -> None:
        others.come([10, 11, 12, 13, 14, 15], waits=True)
        others.come([20, 21, 22], waits=False)

    batches_of(coalescer, [1], meanwhile=meanwhile)
    assert others.all_done()[0] == [[20, 21, 10, 11], [22, 12, 13, 14], [15]]


def test_a_leader_may_take_fewer() -> None:
    """As many as it has use for; the rest waits for whoever leads next."""
    coalescer = Coalescer[int](most=4)
    with coalescer.lead([1, 2, 3], most=2) as batches:
        assert batches.first == [1, 2]
    assert list(coalescer.waiting) == [[3]]
    assert batches_of(coalescer, []) == [[3]]
    assert not coalescer.waiting


def test_who_leads_on_takes_what_was_brought_and_who_waits_has_nothing() -> None:
    """A large fan-out's next page goes with fresh events, in place of before them."""
    coalescer = Coalescer[int](most=3)
    others = Others(coalescer)
    with coalescer.lead([1]) as batches:
        others.come([2], waits=True)
        led = [batches.first, batches.further(wants_more=True), batches.further()]
    assert (led, others.all_done()) == ([[1], [2], None], [[]])


def test_a_caller_who_is_killed_as_it_waits_leaves_its_items_to_who_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    """They wait for nobody else, and the next one to come waits in its place."""
    coalescer = Coalescer[int](most=3)

    def killed() -> None:
        raise KilledError

    with coalescer.lead([1]) as batches:
        with monkeypatch.context() as patch:
            patch.setattr(coalescer, "_leading", Mock(acquire=killed))
            with pytest.raises(KilledError):
                batches_of(coalescer, [2])
        led = [batches.first, batches.further(), batches.further()]
    assert led == [[1], [2], None]
    assert batches_of(coalescer, [3]) == [[3]]


def test_it_goes_on_while_there_is_more() -> None:
    """Once for each time that it is asked to."""
    with Coalescer[int](most=2).lead([]) as batches:
        assert batches.first == []
        assert batches.further(wants_more=True) == []
        assert batches.further() is None


def test_what_comes_once_the_leader_has_its_last_batch_leads_itself() -> None:
    """Although the first one is still inside its block, whose end is not the second one's."""
    coalescer, block = Coalescer[int](most=2), ExitStack()
    others = Others(coalescer)
    with coalescer.lead([1]) as batches:
        assert (batches.first, batches.further()) == ([1], None)
        second = block.enter_context(coalescer.lead([2]))
        assert second.first == [2]
    others.come([3], waits=True)
    assert second.further() is None
    assert others.all_done() == [[[3]]]
    block.close()


class KilledError(BaseException):
    """What ends a task from outside, as gevent's GreenletExit does."""


@pytest.mark.parametrize("error", [RuntimeError, KilledError])
def test_leadership_ends_with_its_block_whoever_keeps_the_traceback(error: type[BaseException]) -> None:
    """Neither an error nor a killed task leaves others waiting for ever: what waits is the next one's."""
    coalescer = Coalescer[int](most=10)
    others = Others(coalescer)

    def fail() -> None:
        with coalescer.lead([1]) as batches:
            assert batches.first == [1]
            others.come([2], waits=True)
            others.come([3], waits=False)
            raise error

    with pytest.raises(error) as caught:
        fail()
    assert caught.tb is not None
    assert others.all_done() == [[[2, 3]], []]


def test_a_block_that_is_left_early_leads_no_more() -> None:
    """It is kept, and asked again: it has nothing."""
    coalescer = Coalescer[int](most=10)
    with coalescer.lead([1]) as batches:
        assert batches.first == [1]
    assert batches_of(coalescer, [2]) == [[2]]
    assert batches.further(wants_more=True) is None


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
