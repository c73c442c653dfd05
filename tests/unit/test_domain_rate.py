"""The token bucket: what it lets through, held against a bucket that is filled and emptied step by step."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noteflow_hooks.domain.rate import TokenBucket, full_in_s
from tests.support.builders import NOON

#: From one in a hundred seconds to ten thousand a second: what endpoints, replays and callers may have.
RATES = st.floats(0.01, 10_000)
BURSTS = st.floats(1, 20_000)
#: Pauses between takes, in whole microseconds as moments have them, up to an hour.
PAUSES = st.lists(st.integers(0, 3_600_000_000).map(lambda us: timedelta(microseconds=us)), min_size=1, max_size=30)
#: What rounding may give beyond the exact amount: half a thousandth each time that something is taken.
ROUNDED = 0.001


def test_a_full_bucket_holds_its_burst() -> None:
    """Whole ones, however long ago it was full."""
    bucket = TokenBucket(4, burst=10.7)
    assert [bucket.available(seconds) for seconds in (0, -1, -86_400)] == [10, 10, 10]


@pytest.mark.parametrize(("full", "holds"), [(0.25, 9), (0.3, 8), (2.5, 0), (100, 0)])
def test_what_is_missing_is_the_time_until_it_is_full_at_its_rate(full: float, holds: int) -> None:
    """Four a second into one of ten; never less than none."""
    assert TokenBucket(4, burst=10).available(full) == holds


def test_more_may_be_taken_than_it_holds_and_is_paid_back_in_time() -> None:
    """As where a step was bigger than the rate allowed it to be."""
    bucket = TokenBucket(4, burst=10)
    after = bucket.full_in_s_after(30, full_in_s=-5)
    assert after == pytest.approx(7.5)
    assert bucket.available(after) == 0
    assert bucket.wait_s(1, full_in_s=after) == pytest.approx(5.25)


def test_a_moment_that_is_not_known_is_long_ago() -> None:
    """A bucket that nothing was ever taken from is full."""
    assert full_in_s(None, now=NOON) <= 0
    assert full_in_s(NOON + timedelta(seconds=2), now=NOON) == 2
    assert TokenBucket(2, burst=1).full_at_after(1, full_at=None, now=NOON) == NOON + timedelta(seconds=0.5)


@given(RATES, BURSTS, PAUSES)
def test_it_gives_what_a_bucket_gives_that_is_filled_step_by_step(
    rate: float, burst: float, pauses: list[timedelta]
) -> None:
    """The same level at each look, but for what microseconds and rounding take or add."""
    bucket, full_at, now, level = TokenBucket(rate, burst), NOON, NOON, burst
    for taken, pause in enumerate(pauses, start=1):
        now += pause
        level = min(burst, level + rate * pause.total_seconds())
        count = bucket.available(full_in_s(full_at, now=now))
        slack = taken * (ROUNDED + rate * 1e-6)
        assert level - 1 - slack <= count <= level + slack
        level -= count
        full_at = bucket.full_at_after(count, full_at=full_at, now=now)


@given(RATES, BURSTS, PAUSES)
def test_no_stretch_of_time_sees_more_than_a_burst_and_the_rate(
    rate: float, burst: float, pauses: list[timedelta]
) -> None:
    """Between any two looks, the first and the last of them included: the limit that a receiver counts."""
    bucket, full_at, now = TokenBucket(rate, burst), None, NOON
    looks = []
    for pause in pauses:
        now += pause
        count = bucket.available(full_in_s(full_at, now=now))
        full_at = bucket.full_at_after(count, full_at=full_at, now=now)
        looks.append((now, count))
    for first in range(len(looks)):
        for last in range(first, len(looks)):
            stretch = looks[first : last + 1]
            allowed = burst + rate * (stretch[-1][0] - stretch[0][0]).total_seconds()
            assert sum(count for _, count in stretch) <= allowed + len(stretch) * (ROUNDED + rate * 1e-6)


@given(RATES, BURSTS, st.floats(0, 10_000), st.integers(1, 20_000))
def test_who_waits_as_long_as_it_says_gets_what_was_asked_for(
    rate: float, burst: float, full: float, count: int
) -> None:
    """And no earlier, and a wait of nothing means that it is there now."""
    bucket, count = TokenBucket(rate, burst), min(count, int(burst))
    wait_s = bucket.wait_s(count, full_in_s=full)
    assert bucket.available(full - wait_s) >= count
    if wait_s > 2 / rate / 1000:
        assert bucket.available(full - wait_s + 2 / rate / 1000) < count
    else:
        assert bucket.available(full) >= count - 1


@given(RATES, BURSTS, st.lists(st.floats(0, 100), min_size=2, max_size=10))
def test_it_holds_the_less_the_later_it_is_full(rate: float, burst: float, moments: list[float]) -> None:
    """Time only fills it."""
    held = [TokenBucket(rate, burst).available(each) for each in sorted(moments)]
    assert all(earlier >= later for earlier, later in pairwise(held))
