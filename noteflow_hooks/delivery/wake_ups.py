"""Wake-ups: messages that bring a task to what can go on. Any may be lost; relay and sweep find what it was about."""

from __future__ import annotations

import math
import threading
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, Final, Protocol

from noteflow_hooks.delivery.tuning import BUSY_TASKS, DEBOUNCE_PART, DEBOUNCE_S, DEBOUNCE_STEP_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from uuid import UUID

    from noteflow_hooks.concurrency.bulkhead import Bulkhead
    from noteflow_hooks.domain.ports.delivery_store import SchedulingSlot

AT_ONCE: Final = timedelta(0)


class Lane(Enum):
    """Where throttled deliveries are claimed: slow endpoints have a lane of their own, for which nobody waits."""

    QUICK = "quick"
    SLOW = "slow"


class WakeUps(Protocol):
    """How one task sends messages. None of the calls waits or raises, and each may be in vain."""

    def enqueue(self, delivery_ids: list[UUID], *, if_room: bool) -> None:
        """Have another task send these; with ``if_room`` only where the queue is short enough for one more message."""
        ...

    def retry_later(self, delivery_ids: list[UUID], *, delay: timedelta) -> None:
        """Have a task send these after the delay."""
        ...

    def wake(self, lane: Lane, *, delay: timedelta = AT_ONCE) -> None:
        """Have a task look, after the delay, for what the lane has; one that waits in its queue already will do."""
        ...

    def dispatch_more(self) -> None:
        """Have a task dispatch what waits; one that waits in its queue already will do."""
        ...


class NoWakeUps:
    """Sends nothing: the sweep finds it all."""

    def enqueue(self, delivery_ids: list[UUID], *, if_room: bool) -> None:
        """Leave them to the sweep."""

    def retry_later(self, delivery_ids: list[UUID], *, delay: timedelta) -> None:
        """Leave them to the sweep."""

    def wake(self, lane: Lane, *, delay: timedelta = AT_ONCE) -> None:
        """Leave the lane to the sweep."""

    def dispatch_more(self) -> None:
        """Leave the events to the relay."""


class WakeUpDebouncer:
    """Remembers when this process's wake-ups arrive: one serves all slots of its lane, whichever endpoint has them."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._arrivals: dict[bool, list[float]] = {False: [], True: []}

    def delay(self, slot: SchedulingSlot) -> timedelta | None:
        """Return after how long a wake-up is to arrive for this slot; None where one on its way serves it.

        What is returned is taken to be on its way from now on.
        """
        now, wait_s = self._monotonic(), slot.wait.total_seconds()
        earliest = now + wait_s
        latest = earliest + wait_s * DEBOUNCE_PART + DEBOUNCE_S
        with self._lock:
            arrivals = [each for each in self._arrivals[slot.slow] if each > now]
            self._arrivals[slot.slow] = arrivals
            if any(earliest <= each <= latest for each in arrivals):
                return None
            step = math.ceil(earliest / DEBOUNCE_STEP_S) * DEBOUNCE_STEP_S
            arrival = step if wait_s * DEBOUNCE_PART >= DEBOUNCE_STEP_S else earliest
            arrivals.append(arrival)
        return slot.wait + timedelta(seconds=arrival - earliest)


class SlotWakeUps:
    """Decides for all tasks of a process which scheduling slots are worth a wake-up."""

    def __init__(self, bulkhead: Bulkhead, *, countdown_max: timedelta, monotonic: Callable[[], float]) -> None:
        """The bulkhead's callers are this process's tasks; slots beyond ``countdown_max`` are left to the sweep."""
        self._bulkhead = bulkhead
        self._countdown_max = countdown_max
        self._debouncer = WakeUpDebouncer(monotonic)
        #: Whether a slot was left to tasks that go on anyway, and none of them has looked since.
        self.is_owed = False

    def wake_for(self, slots: Iterable[SchedulingSlot], wake_ups: WakeUps, *, goes_on: bool = False) -> None:
        """Send a wake-up for each slot that comes soon, unless another serves it, or enough tasks go on anyway.

        With ``goes_on`` the caller is one that looks next: a wake-up would only have another task stand in its way.
        """
        for slot in slots:
            if not (slot.wait or slot.slow) and (goes_on or self._bulkhead.callers >= BUSY_TASKS):
                self.is_owed = True
            elif slot.wait <= self._countdown_max and (delay := self._debouncer.delay(slot)) is not None:
                wake_ups.wake(Lane.SLOW if slot.slow else Lane.QUICK, delay=delay)
