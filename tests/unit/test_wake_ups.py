"""Which wake-ups for scheduling slots are worth sending."""

from __future__ import annotations

from datetime import timedelta

from noteflow_hooks.delivery.wake_ups import WakeUpDebouncer
from noteflow_hooks.domain.ports.delivery_store import SchedulingSlot


def slot(seconds: float, *, slow: bool = False) -> SchedulingSlot:
    return SchedulingSlot(timedelta(seconds=seconds), slow=slow)


def test_a_wake_up_on_its_way_serves_a_slot_at_about_that_time() -> None:
    """A second one for the same moment, or shortly before it, is not wanted; one for much earlier or later is."""
    debouncer = WakeUpDebouncer(lambda: 100.0)
    assert debouncer.delay(slot(1)) is not None
    assert debouncer.delay(slot(1)) is None
    assert debouncer.delay(slot(0.95)) is None
    assert debouncer.delay(slot(0.5)) is not None
    assert debouncer.delay(slot(1.2)) is not None


def test_each_lane_has_wake_ups_of_its_own() -> None:
    """A wake-up of the quick lane serves no slot of the slow one."""
    debouncer = WakeUpDebouncer(lambda: 100.0)
    assert debouncer.delay(slot(1)) is not None
    assert debouncer.delay(slot(1, slow=True)) is not None


def test_a_wake_up_that_has_arrived_serves_no_later_slot() -> None:
    """It is forgotten once its time has come."""
    now = 100.0
    debouncer = WakeUpDebouncer(lambda: now)
    assert debouncer.delay(slot(0)) is not None
    now += 1
    assert debouncer.delay(slot(0)) is not None


def test_later_slots_that_come_one_after_another_share_a_wake_up() -> None:
    """As breakers open one after another: within the step that a slot may be late by, and never before one comes."""
    now = 100.05
    debouncer = WakeUpDebouncer(lambda: now)
    first = debouncer.delay(slot(30))
    assert first is not None
    now += 0.1
    assert debouncer.delay(slot(30)) is None
    assert 30.1 <= first.total_seconds() <= 30.25
    now += 0.1
    assert debouncer.delay(slot(30)) is not None
