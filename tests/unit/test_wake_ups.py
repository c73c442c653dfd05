"""Which hints at turns are worth sending."""

from __future__ import annotations

from datetime import timedelta

from noteflow_hooks.delivery.wake_ups import WakeUpDebouncer
from noteflow_hooks.domain.ports.delivery_store import SchedulingSlot


def turn(seconds: float, *, slow: bool = False) -> SchedulingSlot:
    return SchedulingSlot(timedelta(seconds=seconds), slow=slow)


def test_a_hint_on_its_way_serves_a_turn_at_about_that_time() -> None:
    """A second one for the same moment, or shortly before it, is not wanted; one for much earlier or later is."""
    hints = WakeUpDebouncer(lambda: 100.0)
    assert hints.is_wanted(turn(1))
    assert not hints.is_wanted(turn(1))
    assert not hints.is_wanted(turn(0.95))
    assert hints.is_wanted(turn(0.5))
    assert hints.is_wanted(turn(1.2))


def test_each_lane_has_hints_of_its_own() -> None:
    """A hint at the quick lane takes no turn of the slow one."""
    hints = WakeUpDebouncer(lambda: 100.0)
    assert hints.is_wanted(turn(1))
    assert hints.is_wanted(turn(1, slow=True))


def test_a_hint_that_has_arrived_serves_no_later_turn() -> None:
    """It is forgotten once its time has come."""
    now = 100.0
    hints = WakeUpDebouncer(lambda: now)
    assert hints.is_wanted(turn(0))
    now += 1
    assert hints.is_wanted(turn(0))
