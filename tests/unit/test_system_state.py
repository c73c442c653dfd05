"""How the system does, parts_of by what is known of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from noteflow_hooks.domain.ports.maintenance import Signs
from noteflow_hooks.domain.system_state import Periods, parts_of
from tests.support.builders import NOON

WELL = Signs(NOON, NOON, NOON, None, None)
LONG = NOON - timedelta(hours=3)


def _states(signs: Signs, *, redis_answers: bool = True) -> dict[str, str]:
    return {each.name: each.state for each in parts_of(signs, Periods(), redis_answers=redis_answers)}


@pytest.mark.parametrize(
    ("signs", "expected"),
    [
        (WELL, {}),
        (replace(WELL, relay_at=None), {"relay": "away"}),
        (replace(WELL, sweep_at=LONG), {"sweep": "late"}),
        (replace(WELL, relay_at=LONG, sweep_at=None), {"relay": "late", "sweep": "away", "workers": "away"}),
        (replace(WELL, event_since=NOON - timedelta(seconds=10)), {}),
        (replace(WELL, event_since=NOON - timedelta(seconds=25)), {"workers": "late"}),
        (replace(WELL, delivery_since=NOON - timedelta(seconds=60)), {}),
        (replace(WELL, delivery_since=LONG), {"workers": "late"}),
    ],
)
def test_each_part_is_judged_by_its_signs(signs: Signs, expected: dict[str, str]) -> None:
    """Relay and sweep by their last run; the workers by those, and by what waits."""
    all_well = dict.fromkeys(("relay", "sweep", "workers", "redis"), "well")
    assert _states(signs) == {**all_well, **expected}


def test_a_redis_that_does_not_answer_is_away() -> None:
    """Whatever else is well."""
    assert _states(WELL, redis_answers=False)["redis"] == "away"


def test_for_how_long_is_told_as_people_say_it() -> None:
    """And when each was last seen."""
    workers = parts_of(replace(WELL, delivery_since=LONG), Periods(), redis_answers=True)[2]
    assert (workers.reason, workers.last_at) == ("a delivery is due and not taken for 3 hours", NOON)
