"""Claims: what a worker takes next. Due deliveries of unrestricted endpoints, and throttled ones in their slots."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from noteflow_hooks.delivery.tuning import CLAIM_PAUSE_S, CLAIM_TRIES, FEW, LOOK_AGAIN_AFTER, THROTTLED_DIVISOR
from noteflow_hooks.delivery.wake_ups import Lane
from noteflow_hooks.domain.ports.delivery_store import SchedulingSlot

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from noteflow_hooks.delivery.tuning import Clock
    from noteflow_hooks.delivery.wake_ups import SlotWakeUps, WakeUps
    from noteflow_hooks.domain.deliveries import Claim
    from noteflow_hooks.domain.ports.delivery_store import Claimed, DeliveryStore

_NOW: Final = SchedulingSlot(timedelta(0), slow=False)
_SOON: Final = SchedulingSlot(LOOK_AGAIN_AFTER, slow=False)


@dataclass(frozen=True, slots=True)
class LeasedClaim:
    """A claim, how long its lease allows a POST to begin, and the way to wake a task for what comes next."""

    claim: Claim
    #: By this process's clock. A POST that begins by then ends within its lease, which is longer by its timeout.
    start_by: float
    wake_ups: WakeUps


@dataclass(frozen=True, slots=True)
class Taken:
    """What one round took."""

    claims: list[LeasedClaim]
    #: Whether another round may find more.
    more: bool
    #: Whether that one need look at throttled deliveries only.
    throttled_only: bool = False
    #: The named ones that there was no room for, so that some of them may be left.
    left: Sequence[UUID] = ()
    #: How many that were due wait for their endpoints' scheduling slots from now on.
    throttled: int = 0


class Claimer:
    """Claims deliveries for all tasks of a process."""

    def __init__(self, store: DeliveryStore, slots: SlotWakeUps, *, lease_slack: timedelta, clock: Clock) -> None:
        """``slots`` knows which wake-ups are on their way."""
        self._store = store
        self._slots = slots
        self._lease_slack = lease_slack
        self._clock = clock
        #: Whether an endpoint had a slot when somebody last looked.
        self._slots_due = False

    def take(
        self,
        named: Sequence[UUID],
        *,
        size: int,
        wake_ups: WakeUps,
        lane: Lane = Lane.QUICK,
        throttled_only: bool = False,
    ) -> Taken:
        """Claim up to ``size`` deliveries: the named ones, others that are due, and throttled ones whose slot it is.

        Of the slow lane, only throttled ones are claimed.
        """
        if not size:
            return Taken([], more=False)
        # A lease counts from no earlier than this.
        began = self._clock.monotonic()
        if lane is Lane.SLOW or throttled_only:
            claims = self._claim_throttled(size, lane, wake_ups).claims
            # Where no slot has anything left, a look at all the rest follows.
            more = bool(claims) or lane is Lane.QUICK
            return Taken(self._leased(claims, began, wake_ups), more=more, throttled_only=bool(claims))
        return self._take_due(named, size, began, wake_ups)

    def _take_due(self, named: Sequence[UUID], size: int, began: float, wake_ups: WakeUps) -> Taken:
        # A part is kept for throttled deliveries, or those that are not would leave them nothing.
        limit = max(1, size - size // THROTTLED_DIVISOR) if self._slots_due else size
        claimed = self._claim_named(named, limit)
        self._slots_due = claimed.slots_due
        if claimed.slow_slots_due:
            wake_ups.wake(Lane.SLOW)
        is_full = len(claimed) + claimed.throttled >= limit
        ids = {each.delivery.id for each in claimed}
        missed = [each for each in named if each not in ids]
        if claimed.passed_over:
            self._wake_for_passed_over(missed, is_few=len(named) <= FEW, is_full=is_full, wake_ups=wake_ups)
        room = size - len(claimed)
        throttled = self._claim_due_slots(room, wake_ups) if claimed.slots_due and room else []
        # The named ones come first: where others were claimed, nothing is left of them that is due and free.
        is_left = is_full and ids.issubset(named)
        return Taken(
            self._leased([*claimed, *throttled], began, wake_ups),
            more=is_full or bool(throttled),
            throttled_only=not is_full,
            left=missed if is_left else (),
            throttled=claimed.throttled,
        )

    def _claim_named(self, named: Sequence[UUID], limit: int) -> Claimed:
        """Claim; where nothing was, since somebody is busy with the few that are named, wait a moment for them.

        Who is so stores results most often, and a message for it would find what this task finds.
        """
        claimed = self._store.claim(named, limit=limit, lease_slack=self._lease_slack)
        for _ in range(CLAIM_TRIES - 1):
            if claimed or not claimed.passed_over or len(named) > FEW:
                break
            self._clock.sleep(CLAIM_PAUSE_S)
            claimed = self._store.claim(named, limit=limit, lease_slack=self._lease_slack)
        return claimed

    def _leased(self, claims: Sequence[Claim], began: float, wake_ups: WakeUps) -> list[LeasedClaim]:
        start_by = began + self._lease_slack.total_seconds()
        return [LeasedClaim(each, start_by, wake_ups) for each in claims]

    def _wake_for_passed_over(self, missed: list[UUID], *, is_few: bool, is_full: bool, wake_ups: WakeUps) -> None:
        """Have a task look again, soon: whoever is busy with a delivery or its endpoint now is so for a moment only."""
        if is_few:
            wake_ups.retry_later(missed, delay=LOOK_AGAIN_AFTER)
        elif not is_full:
            # Each chunk of a backlog passes over deliveries of the same endpoints. They have been due for the longest
            # by then, so that whoever tops up claims them first: one wake-up for all that this process passed over.
            self._slots.wake_for([_SOON], wake_ups)

    def wake_for_owed(self, wake_ups: WakeUps) -> None:
        """Wake a task for a slot that was left to others of this process; for a task that goes on no more."""
        if self._slots.is_owed:
            self._slots.wake_for([_NOW], wake_ups)

    def _claim_due_slots(self, size: int, wake_ups: WakeUps) -> Sequence[Claim]:
        """Claim throttled deliveries. Where somebody else is just at it, wait a moment for what that leaves."""
        for _ in range(CLAIM_TRIES):
            claimed = self._claim_throttled(size, Lane.QUICK, wake_ups)
            if claimed or not claimed.passed_over:
                return claimed.claims
            self._clock.sleep(CLAIM_PAUSE_S)
        self._slots.wake_for([_SOON], wake_ups)
        return []

    def _claim_throttled(self, size: int, lane: Lane, wake_ups: WakeUps) -> Claimed:
        if lane is Lane.QUICK:
            self._slots.is_owed = False
        claimed = self._store.claim_throttled(limit=size, slow=lane is Lane.SLOW, lease_slack=self._lease_slack)
        # What can go on at once brings another task along: one alone would wait for its own receivers.
        self._slots.wake_for(claimed.slots, wake_ups)
        if claimed.awaits_dispatch:
            wake_ups.dispatch_more()
        return claimed
