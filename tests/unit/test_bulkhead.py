"""The pool of threads that POST."""

from __future__ import annotations

import threading

import pytest

from noteflow_hooks.concurrency.bulkhead import Bulkhead
from tests.support.waiting import PATIENCE_S, until


def test_every_result_comes_back_with_its_job() -> None:
    """A hundred jobs over four threads."""
    pool = Bulkhead(4)
    done = []
    for start in range(0, 100, 4):
        with pool.reserve(4) as room:
            jobs = list(range(start, start + room.size))
            done += [pair for group in room.begin(lambda job: job * job, jobs).groups() for pair in group]
    pool.close()
    assert sorted(done) == [(n, n * n) for n in range(100)]


def test_room_that_is_not_used_is_given_back() -> None:
    """Reserved in full and used for one job only, all of it can be reserved again."""
    pool = Bulkhead(4)
    with pool.reserve(4) as room:
        assert list(room.begin(str, [1]).groups()) == [[(1, "1")]]
    with pool.reserve(9) as room:
        assert room.size == 4
    with pool.reserve(9) as room:
        assert room.size == 4
    pool.close()


def test_who_comes_later_gets_what_is_left_and_then_waits() -> None:
    """Of five places four are taken: the next gets one, and the one after that waits until places are given back."""
    pool = Bulkhead(5)
    first, second = pool.reserve(4), pool.reserve(4)
    assert (first.size, second.size) == (4, 1)
    got: list[int] = []
    waiter = threading.Thread(target=lambda: got.append(pool.reserve(2).size))
    waiter.start()
    waiter.join(0.05)
    assert got == []
    with first:
        pass
    waiter.join(PATIENCE_S)
    assert got == [2]


def test_who_waits_for_nothing_gets_what_is_free() -> None:
    """Of five places four are taken: the next gets one, and the one after that none, at once."""
    pool = Bulkhead(5)
    assert [pool.reserve_free(4).size, pool.reserve_free(4).size, pool.reserve_free(4).size] == [4, 1, 0]


def test_a_place_is_free_as_soon_as_its_job_ends() -> None:
    """One job of two hangs; the other's place can be had meanwhile."""
    pool, release = Bulkhead(2), threading.Event()
    with pool.reserve(2) as room:
        groups = room.begin(lambda hang: release.wait(PATIENCE_S) if hang else True, [True, False]).groups()
        assert next(groups) == [(False, True)]
        assert pool.reserve(2).size == 1
        release.set()
        assert list(groups) == [[(True, True)]]
    pool.close()


@pytest.mark.parametrize("count", [1, 3])
def test_an_error_is_raised_after_the_other_results(count: int) -> None:
    """A call that raises loses no result of the calls beside it."""
    pool: Bulkhead = Bulkhead(4)
    results: list[tuple[int, int]] = []
    with pool.reserve(count) as room:
        groups = room.begin(lambda n: 1 // n, range(count)).groups()
        with pytest.raises(ZeroDivisionError):
            results.extend(pair for group in groups for pair in group)
    pool.close()
    assert sorted(results) == [(n, 1 // n) for n in range(1, count)]


def test_what_takes_long_leaves_the_quick_share_and_its_result_comes_late() -> None:
    """Both places hang: once patience is over both are free again, and the results go where late ones go."""
    pool, release = Bulkhead(2), threading.Event()
    late: list[tuple[int, bool]] = []
    with pool.reserve(2) as room:
        calls = room.begin(lambda _: release.wait(PATIENCE_S), [1, 2])
        assert list(calls.groups(patience_s=0.05, late=late.append)) == []
        assert sorted(calls.left()) == [1, 2]
    assert pool.reserve(2).size == 2
    release.set()
    pool.close()
    assert sorted(late) == [(1, True), (2, True)]


def test_what_is_done_in_time_comes_before_what_is_late() -> None:
    """The quick one of two is yielded; only the other one is left."""
    pool, release = Bulkhead(2), threading.Event()
    with pool.reserve(2) as room:
        calls = room.begin(lambda hang: release.wait(PATIENCE_S) if hang else False, [True, False])
        until(lambda: pool.reserve_free(1).size == 1, what="the quick one has given its place back")
        late: list[tuple[bool, bool]] = []
        assert list(calls.groups(patience_s=0.2, late=late.append)) == [[(False, False)]]
        assert calls.left() == [True]
    release.set()
    pool.close()
    assert late == [(True, True)]


def test_the_slow_share_is_bounded_and_never_waited_for() -> None:
    """A quarter of eight places; when those are taken there is nothing, until one is given back."""
    pool = Bulkhead(8)
    first = pool.reserve_slow(5)
    assert (first.size, pool.reserve_slow(5).size) == (2, 0)
    with first:
        pass
    assert pool.reserve_slow(1).size == 1


def test_only_so_many_can_be_slow() -> None:
    """Of a pool of one place four may hang beside it; what hangs beyond that keeps the place."""
    pool, release = Bulkhead(1), threading.Event()
    for _ in range(5):
        with pool.reserve(1) as room:
            calls = room.begin(lambda _: release.wait(PATIENCE_S), [0])
            assert list(calls.groups(patience_s=0.01, late=lambda _: None)) == []
            assert calls.left() == [0]
    waiter = threading.Thread(target=lambda: pool.reserve(1))
    waiter.start()
    waiter.join(0.05)
    assert waiter.is_alive()
    release.set()
    waiter.join(PATIENCE_S)
    pool.close()
    assert not waiter.is_alive()
