"""A replay as a value: what it may be asked for, how fast it goes, and how it ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.paging import DeliveryFilter, Position
from noteflow_hooks.domain.replays import (
    RUNNING_LIMIT,
    Replay,
    ReplayState,
    check_running,
    check_sending_again,
)
from noteflow_hooks.errors import InvalidInputError, LimitError, PreconditionError
from tests.support.builders import NOON, a_webhook, an_event, hours

SECOND = timedelta(seconds=1)


def a_replay(**overrides: Any) -> Replay:  # noqa: ANN401 - an override is whatever type its field has
    """Make one that began at :data:`NOON`, of all that was not delivered, at two a second."""
    begun = Replay.create(uuid4(), DeliveryFilter(), rate_per_s=2).begun(now=NOON)
    return replace(begun, **overrides)


@pytest.mark.parametrize("rate", [0.0, 0.09, -1.0, 10_001.0, float("inf"), float("nan")])
def test_a_rate_out_of_bounds_is_refused(rate: float) -> None:
    """With the bounds."""
    with pytest.raises(InvalidInputError, match=r"^rate_per_s: is .+; allowed are 0\.1 to 10000$"):
        Replay.create(uuid4(), DeliveryFilter(), rate_per_s=rate)


@pytest.mark.parametrize("rate", [0.1, 10_000.0])
def test_the_bounds_of_the_rate_are_allowed(rate: float) -> None:
    """And a hundred a second is what it is else."""
    assert Replay.create(uuid4(), DeliveryFilter(), rate_per_s=rate).rate_per_s == rate
    assert Replay.create(uuid4(), DeliveryFilter()).rate_per_s == 100


@pytest.mark.parametrize("before", [NOON, NOON - SECOND])
def test_a_range_that_holds_nothing_is_refused(before: Any) -> None:  # noqa: ANN401 - a case of the table
    """Its end must lie behind its beginning."""
    with pytest.raises(InvalidInputError, match=r"^created_after: must be before created_before$"):
        Replay.create(uuid4(), DeliveryFilter(created_after=NOON, created_before=before))


def test_without_a_status_it_is_about_what_was_not_delivered() -> None:
    """Dead and skipped; with one it is about that one."""
    assert a_replay().statuses == {DeliveryStatus.DEAD, DeliveryStatus.SKIPPED}
    succeeded = DeliveryFilter(status=DeliveryStatus.SUCCEEDED)
    assert a_replay(criteria=succeeded).statuses == {DeliveryStatus.SUCCEEDED}


@pytest.mark.parametrize(
    ("asked", "fixed"),
    [(None, NOON), (NOON + SECOND, NOON), (NOON - SECOND, NOON - SECOND)],
    ids=["open", "later", "earlier"],
)
def test_its_end_is_fixed_when_it_begins(asked: Any, fixed: Any) -> None:  # noqa: ANN401 - cases of the table
    """Now, or what was asked for where that is earlier."""
    begun = Replay.create(uuid4(), DeliveryFilter(created_before=asked)).begun(now=NOON)
    assert begun.criteria.created_before == fixed
    assert (begun.created_at, begun.paced_at, begun.state) == (NOON, NOON, ReplayState.RUNNING)


@pytest.mark.parametrize(
    ("rate", "after_s", "allowed"),
    [
        (2, 0, 0),
        (2, 0.4, 0),
        (2, 0.5, 1),
        (2, 3.4, 6),
        (2, 10, 20),
        (2, 3600, 20),
        (0.1, 9.9, 0),
        (0.1, 10, 1),
        (0.1, 3600, 1),
        (3, 0.33, 0),
        (3, 0.333333, 1),
        (10_000, 0.19, 0),
        (10_000, 0.2, 2000),
    ],
)
def test_its_rate_allows_so_many(rate: float, after_s: float, allowed: int) -> None:
    """Whole ones, not in tiny steps, and no more than ten seconds' worth."""
    assert a_replay(rate_per_s=rate).allowed(now=NOON + after_s * SECOND) == allowed


def test_a_step_moves_it_on() -> None:
    """Its count, its place, and the time up to which its rate is used."""
    cursor = Position(NOON - hours(1), uuid4())
    after = a_replay(sent=5).stepped(6, cursor=cursor, more=True, now=NOON + 4 * SECOND)
    assert (after.sent, after.cursor, after.state, after.finished_at) == (11, cursor, ReplayState.RUNNING, None)
    assert after.paced_at == NOON + 3 * SECOND
    assert after.allowed(now=NOON + 4 * SECOND) == 2


def test_after_a_standstill_its_rate_counts_from_ten_seconds_ago() -> None:
    """What it did not use before is lost."""
    later = NOON + hours(1)
    after = a_replay().stepped(2, cursor=None, more=True, now=later)
    assert after.paced_at == later - 9 * SECOND


def test_a_rate_is_kept_over_any_number_of_steps() -> None:
    """A step each half second makes 3.5 a second, and not three or four."""
    replay, now = a_replay(rate_per_s=3.5), NOON
    for _ in range(200):
        now += SECOND / 2
        replay = replay.stepped(replay.allowed(now=now), cursor=None, more=True, now=now)
    assert replay.sent == 350


def test_a_step_that_finds_no_more_is_the_last_one() -> None:
    """It may have found something, and keeps its place where it has not."""
    cursor = Position(NOON, uuid4())
    done = a_replay(cursor=cursor).stepped(0, cursor=None, more=False, now=NOON + SECOND)
    assert (done.state, done.finished_at, done.cursor) == (ReplayState.DONE, NOON + SECOND, cursor)


def test_a_cancelled_one_has_ended() -> None:
    """With the time."""
    cancelled = a_replay().cancelled(now=NOON + SECOND)
    assert (cancelled.state, cancelled.finished_at) == (ReplayState.CANCELLED, NOON + SECOND)


@pytest.mark.parametrize("state", [ReplayState.DONE, ReplayState.CANCELLED])
def test_what_has_ended_goes_nowhere(state: ReplayState) -> None:
    """Neither on nor to another end; the error says what it is."""
    ended = a_replay(state=state, finished_at=NOON)
    with pytest.raises(PreconditionError, match=f"replay {ended.id} is {state}; cancelling needs it to be running"):
        ended.cancelled(now=NOON)
    with pytest.raises(PreconditionError, match=f"is {state}; a step needs"):
        ended.stepped(1, cursor=None, more=True, now=NOON)


def test_only_so_many_may_run() -> None:
    """The refusal names the limit and the way out."""
    check_running(RUNNING_LIMIT - 1)
    with pytest.raises(LimitError, match="10 replays run in this workspace, and at most 10 may; cancel one"):
        check_running(RUNNING_LIMIT)


@pytest.mark.parametrize(
    ("endpoint", "event", "says"),
    [
        ({"deleted_at": NOON, "enabled": False}, {}, "its webhook is deleted"),
        ({}, {"payload_erased_at": NOON}, "its event's payload is erased"),
        ({"enabled": False}, {"payload_erased_at": NOON}, "its event's payload is erased"),
        ({"enabled": False}, {}, r"is disabled; enable it, then send again"),
        ({"enabled": False, "disabled_reason": "410 Gone"}, {}, r"is disabled \(410 Gone\); enable it"),
    ],
)
def test_what_would_not_go_out_is_not_sent_again(
    endpoint: dict[str, object], event: dict[str, object], says: str
) -> None:
    """What can't be helped comes before what can."""
    check_sending_again(a_webhook(), an_event())
    with pytest.raises(PreconditionError, match=says):
        check_sending_again(a_webhook(**endpoint), an_event(**event))
