"""The bulkhead: permits are bounded, come back whatever happens, and what hangs leaves room for the rest."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import replace
from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest

from noteflow_hooks.concurrency.bulkhead import Bulkhead
from noteflow_hooks.delivery.tuning import BULKHEAD
from tests.support.waiting import PATIENCE_S, until

if TYPE_CHECKING:
    from collections.abc import Callable


def test_every_result_comes_back_with_its_job() -> None:
    """A hundred jobs over four threads."""
    bulkhead = Bulkhead(4, tuning=BULKHEAD)
    done = []
    for start in range(0, 100, 4):
        with bulkhead.reserve(4) as permits:
            jobs = list(range(start, start + permits.size))
            done += [pair for group in permits.begin(lambda job: job * job, jobs).groups() for pair in group]
    bulkhead.close()
    assert sorted(done) == [(n, n * n) for n in range(100)]


def test_calls_of_two_parts_are_all_begun_by_the_caller_before_any_is_waited_for() -> None:
    """The first parts run in its thread, one after another; the second ones in threads, and their results come back."""
    bulkhead, release, own = Bulkhead(3, tuning=BULKHEAD), threading.Event(), threading.get_ident()
    begun: list[tuple[int, int]] = []

    def begin(job: int) -> Callable[[], tuple[bool, bool]]:
        begun.append((job, threading.get_ident()))
        return lambda: (release.wait(PATIENCE_S), threading.get_ident() == own)

    with bulkhead.reserve(3) as permits:
        calls = permits.begin_each(begin, [1, 2, 3])
        assert begun == [(1, own), (2, own), (3, own)]
        release.set()
        assert sorted(pair for group in calls.groups() for pair in group) == [(n, (True, False)) for n in (1, 2, 3)]
    bulkhead.close()


def test_permits_that_are_not_used_are_given_back() -> None:
    """Reserved in full and used for one job only, all of it can be reserved again."""
    bulkhead = Bulkhead(4, tuning=BULKHEAD)
    with bulkhead.reserve(4) as permits:
        assert list(permits.begin(str, [1]).groups()) == [[(1, "1")]]
    with bulkhead.reserve(9) as permits:
        assert permits.size == 4
    with bulkhead.reserve(9) as permits:
        assert permits.size == 4
    bulkhead.close()


def test_who_comes_later_gets_what_is_left_and_then_waits() -> None:
    """Of five places four are taken: the next gets one, and the one after that waits until places are given back."""
    bulkhead = Bulkhead(5, tuning=BULKHEAD)
    first, second = bulkhead.reserve(4), bulkhead.reserve(4)
    assert (first.size, second.size) == (4, 1)
    got: list[int] = []
    waiter = threading.Thread(target=lambda: got.append(bulkhead.reserve(2).size))
    waiter.start()
    waiter.join(0.05)
    assert got == []
    with first:
        pass
    waiter.join(PATIENCE_S)
    assert got == [2]


def test_who_waits_for_nothing_gets_what_is_free() -> None:
    """Of five places four are taken: the next gets one, and the one after that none, at once."""
    bulkhead = Bulkhead(5, tuning=BULKHEAD)
    assert [bulkhead.reserve_free(4).size, bulkhead.reserve_free(4).size, bulkhead.reserve_free(4).size] == [4, 1, 0]


def test_who_waits_for_so_long_gets_what_is_free_then() -> None:
    """Of five places four are taken: the last one, and once that is taken none."""
    bulkhead = Bulkhead(5, tuning=replace(BULKHEAD, patience_s=0.01))
    bulkhead.reserve(4)
    assert bulkhead.reserve_within(3, timeout_s=PATIENCE_S).size == 1
    assert bulkhead.reserve_within(3, timeout_s=0.01).size == 0


def test_whoever_is_in_line_before_it_does_not_make_it_wait_for_longer() -> None:
    """Another one waits in line for as long as it takes; who came to wait for a moment goes without any."""
    bulkhead = Bulkhead(2, tuning=BULKHEAD)
    taken = bulkhead.reserve(2)
    first = threading.Thread(target=lambda: bulkhead.reserve(2))
    first.start()
    until(bulkhead._queue.locked, what="it waits in line")  # noqa: SLF001 - nothing else tells
    assert bulkhead.reserve_within(2, timeout_s=0.01).size == 0
    with taken:
        pass
    first.join(PATIENCE_S)


def test_who_is_hurried_goes_on_with_what_is_free() -> None:
    """It would wait for three, and has one as soon as somebody else is in a hurry."""
    bulkhead = Bulkhead(3, tuning=replace(BULKHEAD, patience_s=PATIENCE_S))
    bulkhead.reserve(2)
    got: list[int] = []
    waiter = threading.Thread(target=lambda: got.append(bulkhead.reserve_within(3, timeout_s=PATIENCE_S).size))
    waiter.start()
    until(lambda: bulkhead._wanted == 3, what="it waits")  # noqa: SLF001 - nothing else tells
    bulkhead.hurry()
    waiter.join(PATIENCE_S / 2)
    assert got == [1]


def test_a_place_is_free_as_soon_as_its_job_ends() -> None:
    """One job of two hangs; the other's place can be had meanwhile."""
    bulkhead, release = Bulkhead(2, tuning=BULKHEAD), threading.Event()
    with bulkhead.reserve(2) as permits:
        groups = permits.begin(lambda hang: release.wait(PATIENCE_S) if hang else True, [True, False]).groups()
        assert next(groups) == [(False, True)]
        assert bulkhead.reserve(2).size == 1
        release.set()
        assert list(groups) == [[(True, True)]]
    bulkhead.close()


@pytest.mark.parametrize("count", [1, 3])
def test_an_error_is_raised_after_the_other_results(count: int) -> None:
    """A call that raises loses no result of the calls beside it."""
    bulkhead: Bulkhead = Bulkhead(4, tuning=BULKHEAD)
    results: list[tuple[int, int]] = []
    with bulkhead.reserve(count) as permits:
        groups = permits.begin(lambda n: 1 // n, range(count)).groups()
        with pytest.raises(ZeroDivisionError):
            results.extend(pair for group in groups for pair in group)
    bulkhead.close()
    assert sorted(results) == [(n, 1 // n) for n in range(1, count)]


def test_what_takes_long_leaves_the_quick_share_and_its_result_comes_late() -> None:
    """Both places hang: once patience is over both are free again, and the results go where late ones go."""
    bulkhead, release = Bulkhead(2, tuning=BULKHEAD), threading.Event()
    late: list[tuple[int, bool]] = []
    with bulkhead.reserve(2) as permits:
        calls = permits.begin(lambda _: release.wait(PATIENCE_S), [1, 2])
        assert list(calls.groups(patience_s=0.05, late=late.append)) == []
        assert sorted(calls.left()) == [1, 2]
    assert bulkhead.reserve(2).size == 2
    release.set()
    bulkhead.close()
    assert sorted(late) == [(1, True), (2, True)]


def test_what_is_done_in_time_comes_before_what_is_late() -> None:
    """The quick one of two is yielded; only the other one is left."""
    bulkhead, release = Bulkhead(2, tuning=BULKHEAD), threading.Event()
    with bulkhead.reserve(2) as permits:
        calls = permits.begin(lambda hang: release.wait(PATIENCE_S) if hang else False, [True, False])
        until(lambda: bulkhead.reserve_free(1).size == 1, what="the quick one has given its place back")
        late: list[tuple[bool, bool]] = []
        assert list(calls.groups(patience_s=0.2, late=late.append)) == [[(False, False)]]
        assert calls.left() == [True]
    release.set()
    bulkhead.close()
    assert late == [(True, True)]


def test_the_slow_share_is_bounded_and_never_waited_for() -> None:
    """A quarter of eight places; when those are taken there is nothing, until one is given back."""
    bulkhead = Bulkhead(8, tuning=BULKHEAD)
    first = bulkhead.reserve_slow(5)
    assert (first.size, bulkhead.reserve_slow(5).size) == (2, 0)
    with first:
        pass
    assert bulkhead.reserve_slow(1).size == 1


def test_only_so_many_can_be_slow() -> None:
    """Of a pool of one place four may hang beside it; what hangs beyond that keeps the place."""
    bulkhead, release = Bulkhead(1, tuning=BULKHEAD), threading.Event()
    for _ in range(5):
        with bulkhead.reserve(1) as permits:
            calls = permits.begin(lambda _: release.wait(PATIENCE_S), [0])
            assert list(calls.groups(patience_s=0.01, late=lambda _: None)) == []
            assert calls.left() == [0]
    waiter = threading.Thread(target=lambda: bulkhead.reserve(1))
    waiter.start()
    waiter.join(0.05)
    assert waiter.is_alive()
    release.set()
    waiter.join(PATIENCE_S)
    bulkhead.close()
    assert not waiter.is_alive()


class KilledError(BaseException):
    """What ends a waiter from outside, as gevent's GreenletExit does."""


def test_a_killed_waiter_leaves_the_others_their_permits(monkeypatch: pytest.MonkeyPatch) -> None:
    """An urgent one is waited for; once it is killed, what is free is the others' again."""
    bulkhead = Bulkhead(1, tuning=BULKHEAD)
    with bulkhead.reserve(1), monkeypatch.context() as patch:
        patch.setattr(bulkhead._changed, "wait_for", Mock(side_effect=KilledError))  # noqa: SLF001 - killed as it waits
        with pytest.raises(KilledError):
            bulkhead.reserve(1, urgent=1)
    assert bulkhead.reserve_free(1).size == 1


def test_a_waiter_is_woken_where_an_urgent_one_before_it_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A permit is free, but kept for the urgent one: nothing else would tell the waiter that it may go."""
    bulkhead, kill, got = Bulkhead(1, tuning=replace(BULKHEAD, patience_s=0.0)), threading.Event(), list[int]()
    changed = bulkhead._changed  # noqa: SLF001 - nothing else tells who waits
    wait_for = changed.wait_for

    def killed(ready: Callable[[], bool], timeout: float | None = None) -> bool:
        if threading.current_thread() is not urgent:
            return wait_for(ready, timeout)
        changed.release()
        assert kill.wait(PATIENCE_S)
        changed.acquire()
        raise KilledError

    def wait_urgently() -> None:
        with contextlib.suppress(KilledError):
            bulkhead.reserve(1, urgent=1)

    monkeypatch.setattr(changed, "wait_for", killed)
    urgent = threading.Thread(target=wait_urgently)
    waiter = threading.Thread(target=lambda: got.append(bulkhead.reserve(1).size), daemon=True)
    urgent.start()
    until(lambda: bulkhead._urgent, what="the urgent one waits")  # noqa: SLF001 - as above
    waiter.start()
    until(lambda: changed._waiters, what="the other one waits")  # type: ignore[attr-defined]  # noqa: SLF001 - as above
    kill.set()
    waiter.join(PATIENCE_S)
    assert got == [1]


def test_callers_are_counted_while_they_are_at_work() -> None:
    """Also where one fails."""
    bulkhead = Bulkhead(1, tuning=BULKHEAD)
    with bulkhead.caller(), contextlib.suppress(ZeroDivisionError), bulkhead.caller():
        assert bulkhead.callers == 2
        raise ZeroDivisionError
    assert bulkhead.callers == 0
