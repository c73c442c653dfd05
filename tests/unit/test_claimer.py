"""When a process wakes itself for scheduling slots: not while its tasks go on anyway, and never so that one is lost."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

from noteflow_hooks.concurrency.bulkhead import Bulkhead
from noteflow_hooks.delivery.claimer import Claimer
from noteflow_hooks.delivery.tuning import BULKHEAD, Clock
from noteflow_hooks.delivery.wake_ups import Lane, SlotWakeUps
from noteflow_hooks.domain.health.state import EndpointHealth
from noteflow_hooks.domain.ports.delivery_store import Claimed, SchedulingSlot, next_slots
from tests.support.builders import NOON
from tests.support.wake_ups import KeptWakeUps

if TYPE_CHECKING:
    from noteflow_hooks.domain.ports.delivery_store import DeliveryStore

NOW = SchedulingSlot(timedelta(0), slow=False)


class Empty:
    """A store in which no slot has anything to claim."""

    def claim_throttled(self, **_: Any) -> Claimed:  # noqa: ANN401 - the port's own arguments
        return Claimed([])


class Busy:
    """A store in which somebody else has the endpoint of half of what is named."""

    def claim(self, *_: Any, **__: Any) -> Claimed:  # noqa: ANN401 - the port's own arguments
        return Claimed([], passed_over=True)


class Storing:
    """A store in which somebody stores a result of the endpoint's, for two looks."""

    def __init__(self) -> None:
        self.looks = 0

    def claim(self, *_: Any, **__: Any) -> Claimed:  # noqa: ANN401 - the port's own arguments
        self.looks += 1
        return Claimed([], passed_over=self.looks < 3)


class Process:
    """A claimer, as many tasks as go on, and the wake-ups that were sent."""

    def __init__(self, *, tasks: int, store: object | None = None) -> None:
        self.bulkhead = Bulkhead(1, tuning=BULKHEAD)
        self.bulkhead.callers = tasks
        self.wake_ups = KeptWakeUps()
        clock = Clock(monotonic=lambda: 100.0, sleep=lambda _: None)
        self.slots = SlotWakeUps(self.bulkhead, countdown_max=timedelta(seconds=60), monotonic=clock.monotonic)
        self.claimer = Claimer(
            cast("DeliveryStore", store if store is not None else Empty()),
            self.slots,
            lease_slack=timedelta(seconds=1),
            clock=clock,
        )

    def wake_for(self, *slots: SchedulingSlot) -> None:
        self.slots.wake_for(slots, self.wake_ups)


def test_one_task_that_goes_on_brings_another_along() -> None:
    """Alone it would wait for its own receivers."""
    process = Process(tasks=1)
    process.wake_for(NOW)
    assert process.wake_ups.woken == [(Lane.QUICK, timedelta(0))]


def test_tasks_that_go_on_need_no_wake_up() -> None:
    """They look for slots themselves; later slots, and those of the slow lane, they don't take."""
    process = Process(tasks=2)
    later, slow = SchedulingSlot(timedelta(seconds=1), slow=False), SchedulingSlot(timedelta(0), slow=True)
    process.wake_for(NOW, later, slow)
    assert process.wake_ups.woken == [(Lane.QUICK, later.wait), (Lane.SLOW, slow.wait)]


def test_one_task_that_looks_next_needs_no_wake_up() -> None:
    """Another one would only stand in its way; and where it does not come to it, it wakes one as it ends."""
    process = Process(tasks=1)
    process.slots.wake_for([NOW], process.wake_ups, goes_on=True)
    assert process.wake_ups.woken == []
    process.claimer.wake_for_owed(process.wake_ups)
    assert process.wake_ups.woken == [(Lane.QUICK, timedelta(0))]


def test_a_task_that_ends_wakes_for_the_slot_that_was_left_to_it() -> None:
    """Or nobody would look for it before the sweep does."""
    process = Process(tasks=2)
    process.wake_for(NOW)
    process.bulkhead.callers = 0
    process.claimer.wake_for_owed(process.wake_ups)
    assert process.wake_ups.woken == [(Lane.QUICK, timedelta(0))]


def test_a_task_that_ends_wakes_nobody_once_somebody_has_looked() -> None:
    """What was there then has been taken."""
    process = Process(tasks=2)
    process.wake_for(NOW)
    process.claimer.take([], size=5, wake_ups=process.wake_ups, throttled_only=True)
    process.claimer.wake_for_owed(process.wake_ups)
    assert process.wake_ups.woken == []


def test_a_few_that_were_passed_over_are_retried_by_name() -> None:
    """They are somebody's fresh events, and need not wait behind a backlog."""
    process, ids = Process(tasks=1, store=Busy()), [uuid4()]
    process.claimer.take(ids, size=50, wake_ups=process.wake_ups)
    [(delay, named)] = process.wake_ups.retries
    assert (named, delay < timedelta(seconds=1)) == (ids, True)


def test_what_chunks_of_a_backlog_passed_over_takes_one_wake_up() -> None:
    """Each chunk passes over the same endpoints'; whoever tops up takes what has been due for the longest."""
    process = Process(tasks=1, store=Busy())
    for _ in range(10):
        process.claimer.take([uuid4() for _ in range(50)], size=50, wake_ups=process.wake_ups)
    assert (process.wake_ups.retries, len(process.wake_ups.woken)) == ([], 1)


def test_a_few_that_somebody_is_just_busy_with_are_waited_for() -> None:
    """A message for them would come as the next task that finds nothing."""
    store = Storing()
    process = Process(tasks=1, store=store)
    process.claimer.take([uuid4()], size=50, wake_ups=process.wake_ups)
    assert (store.looks, process.wake_ups.retries) == (3, [])


def test_what_is_throttled_by_a_claim_is_told() -> None:
    """The task has moved it to its endpoint's scheduling slots."""
    store = Empty()
    store.claim = lambda *_, **__: Claimed([], throttled=2)  # type: ignore[attr-defined]  # a store of two methods
    process = Process(tasks=1, store=store)
    assert process.claimer.take([uuid4()], size=50, wake_ups=process.wake_ups).throttled == 2


def test_a_probe_under_way_needs_no_wake_up_for_the_end_of_its_lease() -> None:
    """Its result brings the next slot; the sweep finds that of a probe whose worker has died."""
    until = NOON + timedelta(seconds=20)
    probed = EndpointHealth(uuid4(), turn_at=until, open_until=NOON, probing_until=until)
    opened = EndpointHealth(uuid4(), turn_at=until, open_until=until)
    assert next_slots([probed], now=NOON) == []
    assert [each.wait for each in next_slots([probed, opened], now=NOON)] == [timedelta(seconds=20)]
    assert [each.wait for each in next_slots([probed], now=until)] == [timedelta(0)]
