"""Token buckets: what they let through, when they do again, and how many are remembered."""

from __future__ import annotations

import sys
from uuid import UUID

import pytest

from noteflow_hooks.rpc.interceptors.buckets import Buckets

ONE, OTHER = UUID(int=1), UUID(int=2)


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Offer a clock that stands still."""
    return Clock()


def takes(buckets: Buckets, *, key: UUID = ONE, tries: int = 1000) -> int:
    """Return how many of so many tries get one."""
    return sum(not buckets.take(key) for _ in range(tries))


def test_a_full_bucket_gives_its_burst_and_then_one_at_a_time(clock: Clock) -> None:
    """Ten at once, and after that four a second."""
    buckets = Buckets(4, burst=10, clock=clock)
    assert takes(buckets) == 10
    clock.now += 1
    assert takes(buckets) == 4
    clock.now += 0.25
    assert takes(buckets) == 1


def test_a_bucket_never_holds_more_than_its_burst(clock: Clock) -> None:
    """However long nobody asks."""
    buckets = Buckets(4, burst=10, clock=clock)
    buckets.take(ONE)
    clock.now += 86_400
    assert takes(buckets) == 10


def test_who_is_refused_hears_when_there_is_one_and_then_gets_it(clock: Clock) -> None:
    """And being refused puts nothing off."""
    buckets = Buckets(2, burst=1, clock=clock)
    assert buckets.take(ONE) == 0
    assert [buckets.take(ONE) for _ in range(3)] == pytest.approx([0.5] * 3)
    clock.now += buckets.take(ONE)
    assert buckets.take(ONE) == 0


def test_each_key_has_a_bucket_of_its_own(clock: Clock) -> None:
    """One caller's flood costs another nothing."""
    buckets = Buckets(1, burst=5, clock=clock)
    assert takes(buckets) == 5
    assert takes(buckets, key=OTHER) == 5


def test_a_rate_of_nothing_is_no_limit(clock: Clock) -> None:
    """As the settings' 0 means."""
    assert takes(Buckets(0, burst=0, clock=clock)) == 1000


def test_a_hundred_thousand_keys_are_not_all_remembered(clock: Clock) -> None:
    """At most twice what is said, in some hundred kilobytes; and those that came last are among them."""
    buckets = Buckets(1, burst=2, remembered=1000, clock=clock)
    keys = [UUID(int=number) for number in range(100_000)]
    for key in keys:
        buckets.take(key)
    assert len(buckets) <= 2000
    held = vars(buckets)
    assert sum(sys.getsizeof(held[name]) for name in ("_full_at", "_full_at_before")) < 200_000
    assert all(takes(buckets, key=key, tries=2) == 1 for key in keys[-1000:])


def test_a_key_that_keeps_asking_is_not_forgotten_for_others(clock: Clock) -> None:
    """Nobody gets a new burst by having others fill the memory, while it goes on asking."""
    buckets = Buckets(1, burst=3, remembered=100, clock=clock)
    granted = 0
    for number in range(10_000):
        buckets.take(UUID(int=number + 10))
        if number % 50 == 0:
            granted += takes(buckets, tries=1)
    assert granted == 3
