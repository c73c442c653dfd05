"""How long a failed delivery waits."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noteflow_hooks.domain.retry import RETRY_AFTER_CAP, STANDARD_SCHEDULE, RetryPolicy
from tests.support.builders import EXACT

FAILURES = st.integers(1, 10_000)
DRAWS = st.floats(0, 1, exclude_max=True)
HOUR = 3600


def waits(policy: RetryPolicy, count: int) -> list[float]:
    return [policy.wait(failures, draw=0.5).total_seconds() for failures in range(1, count + 1)]


def test_waits_double_up_to_ten_hours() -> None:
    """The wait before attempt n+1 is two to the n-1 seconds until the cap, which then stays."""
    assert waits(EXACT, 18) == [2**n for n in range(16)] + [10 * HOUR] * 2


@settings(deadline=None)
@given(FAILURES)
def test_no_number_of_failures_is_too_large(failures: int) -> None:
    """Far out the wait is the cap, not an overflow."""
    wait = EXACT.wait(failures, draw=0.5)
    assert wait == timedelta(seconds=min(2 ** (failures - 1), 10 * HOUR))


def test_base_and_cap_can_be_set() -> None:
    """A base of a twentieth of a second doubles from there, up to its own cap."""
    policy = RetryPolicy(base=timedelta(milliseconds=50), cap=timedelta(milliseconds=300), jitter=0)
    assert waits(policy, 5) == [0.05, 0.1, 0.2, 0.3, 0.3]


@settings(deadline=None)
@given(FAILURES, DRAWS)
def test_the_jitter_stays_within_a_fifth(failures: int, draw: float) -> None:
    """A wait is the exact one times a factor from 0.8 to 1.2."""
    exact = EXACT.wait(failures, draw=draw)
    wait = RetryPolicy().wait(failures, draw=draw)
    tick = timedelta(microseconds=1)
    assert exact * 0.8 - tick <= wait <= exact * 1.2 + tick


@pytest.mark.parametrize(("draw", "factor"), [(0.0, 0.8), (0.25, 0.9), (0.5, 1.0), (0.75, 1.1)])
def test_one_draw_goes_evenly_over_the_whole_width(draw: float, factor: float) -> None:
    """The draw alone decides, in both directions alike."""
    assert RetryPolicy().wait(10, draw=draw) == timedelta(seconds=512) * factor


@settings(deadline=None)
@given(FAILURES, DRAWS)
def test_without_jitter_waits_are_exact(failures: int, draw: float) -> None:
    """The draw counts for nothing where the jitter is 0."""
    assert EXACT.wait(failures, draw=draw) == EXACT.wait(failures, draw=0.5)


def test_the_standard_schedule_is_that_of_standard_webhooks() -> None:
    """5s, 5m, 30m, 2h, 5h, 10h, 14h, 20h, 24h, and the last one again and again: the cap does not cut it."""
    policy = RetryPolicy(schedule=STANDARD_SCHEDULE, jitter=0)
    hours = [each * HOUR for each in (2, 5, 10, 14, 20, 24, 24, 24)]
    assert waits(policy, 11) == [5, 5 * 60, 30 * 60, *hours]


def test_a_schedule_of_ones_own_repeats_its_last_wait() -> None:
    """A list is followed to its end, and its end goes on."""
    policy = RetryPolicy(schedule=(timedelta(0), timedelta(seconds=7)), jitter=0)
    assert waits(policy, 4) == [0, 7, 7, 7]


def test_a_schedule_is_jittered_too() -> None:
    """The factor is the same for every kind of wait."""
    policy = RetryPolicy(schedule=(timedelta(seconds=100),))
    assert policy.wait(1, draw=0) == timedelta(seconds=80)


@pytest.mark.parametrize(
    ("asked_s", "wait_s"),
    [
        (None, 8),
        (0, 8),
        (-5, 8),
        (8, 8),
        (9, 9),
        (24 * HOUR, 24 * HOUR),
        (24 * HOUR + 1, 24 * HOUR),
        (10**9, 24 * HOUR),
    ],
)
def test_a_receiver_may_ask_for_a_longer_wait(asked_s: int | None, wait_s: int) -> None:
    """``Retry-After`` makes a wait longer, never shorter, and by a day at the most."""
    asked = None if asked_s is None else timedelta(seconds=asked_s)
    assert EXACT.wait(4, draw=0.5, retry_after=asked) == timedelta(seconds=wait_s)


@settings(deadline=None)
@given(FAILURES, DRAWS, st.timedeltas(timedelta(0), timedelta(days=9)))
def test_a_wait_is_never_below_what_was_asked_for(failures: int, draw: float, asked: timedelta) -> None:
    """The jitter does not take back what the receiver asked for."""
    wait = RetryPolicy().wait(failures, draw=draw, retry_after=asked)
    assert wait >= min(asked, RETRY_AFTER_CAP)
    assert wait >= RetryPolicy().wait(failures, draw=draw)
