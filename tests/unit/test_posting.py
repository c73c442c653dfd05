"""The pool of threads that POST."""

from __future__ import annotations

import threading

import pytest

from noteflow_hooks.posting import PostingPool


def test_every_result_comes_back_with_its_job() -> None:
    """A hundred jobs over four threads."""
    pool = PostingPool(4)
    done = []
    for start in range(0, 100, 4):
        with pool.reserve(4) as room:
            jobs = list(range(start, start + room.size))
            done += [pair for group in room.run(lambda job: job * job, jobs) for pair in group]
    pool.close()
    assert sorted(done) == [(n, n * n) for n in range(100)]


def test_room_that_is_not_used_is_given_back() -> None:
    """Reserved in full and used for one job only, all of it can be reserved again."""
    pool = PostingPool(4)
    with pool.reserve(4) as room:
        assert list(room.run(str, [1])) == [[(1, "1")]]
    with pool.reserve(9) as room:
        assert room.size == 4
    with pool.reserve(9) as room:
        assert room.size == 4
    pool.close()


def test_who_comes_later_gets_what_is_left_and_then_waits() -> None:
    """Of five places four are taken: the next gets one, and the one after that waits until places are given back."""
    pool = PostingPool(5)
    first, second = pool.reserve(4), pool.reserve(4)
    assert (first.size, second.size) == (4, 1)
    got: list[int] = []
    waiter = threading.Thread(target=lambda: got.append(pool.reserve(2).size))
    waiter.start()
    waiter.join(0.05)
    assert got == []
    with first:
        pass
    waiter.join(10)
    assert got == [2]


def test_a_place_is_free_as_soon_as_its_job_ends() -> None:
    """One job of two hangs; the other's place can be had meanwhile."""
    pool, release = PostingPool(2), threading.Event()
    with pool.reserve(2) as room:
        groups = room.run(lambda hang: release.wait(10) if hang else True, [True, False])
        assert next(groups) == [(False, True)]
        assert pool.reserve(2).size == 1
        release.set()
        assert list(groups) == [[(True, True)]]
    pool.close()


@pytest.mark.parametrize("count", [1, 3])
def test_an_error_is_raised_after_the_other_results(count: int) -> None:
    """A call that raises loses no result of the calls beside it."""
    pool: PostingPool = PostingPool(4)
    results: list[tuple[int, int]] = []
    with pool.reserve(count) as room:
        groups = room.run(lambda n: 1 // n, range(count))
        with pytest.raises(ZeroDivisionError):
            results.extend(pair for group in groups for pair in group)
    pool.close()
    assert sorted(results) == [(n, 1 // n) for n in range(1, count)]
