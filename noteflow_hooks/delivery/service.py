"""The workers' half: events become deliveries, deliveries become POSTs, and their results become rows.

Knows ports, neither SQLAlchemy nor Celery. What a receiver does is a value; a lost database or broker raises, costs
the endpoint no attempt, and is tried again.
"""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from noteflow_hooks.concurrency.collector import BatchCollector
from noteflow_hooks.delivery.claimer import Claimer
from noteflow_hooks.delivery.dispatcher import Dispatcher
from noteflow_hooks.delivery.settler import Outcomes, Result, Settler, grouped, tell_news
from noteflow_hooks.delivery.tuning import BACKLOG_TASKS, FILTERS_PATIENCE_S, GATHER_S, ROUNDS, TASK_PATIENCE_S, Clock
from noteflow_hooks.delivery.wake_ups import Lane, SlotWakeUps
from noteflow_hooks.domain.batches import BatchClaim
from noteflow_hooks.domain.challenges import VERIFICATION
from noteflow_hooks.domain.filters import MATCHED, FilterAnswer, HeldBack, Verdict
from noteflow_hooks.domain.whole_batches import ids_of
from noteflow_hooks.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta
    from uuid import UUID

    from noteflow_hooks.concurrency.bulkhead import Bulkhead, Calls, Permits
    from noteflow_hooks.delivery.claimer import LeasedClaim
    from noteflow_hooks.delivery.dispatcher import DispatchedWork
    from noteflow_hooks.delivery.tuning import DeliveryRules
    from noteflow_hooks.delivery.wake_ups import WakeUps
    from noteflow_hooks.domain.deliveries import AttemptResult, Claim
    from noteflow_hooks.domain.ports.delivery_store import DeliveryStore
    from noteflow_hooks.domain.ports.filters import FilterEvaluator
    from noteflow_hooks.domain.ports.unit_of_work import Announce

log = logging.getLogger(__name__)


class DeliveryService:
    """Dispatches and delivers; one for a worker process, used by all its tasks."""

    def __init__(
        self,
        store: DeliveryStore,
        post: Callable[[Claim], AttemptResult],
        bulkhead: Bulkhead,
        *,
        rules: DeliveryRules,
        begin: Callable[[Claim], Callable[[], AttemptResult]] | None = None,
        filters: FilterEvaluator | None = None,
        announce: Announce = lambda _: None,
        clock: Clock | None = None,
    ) -> None:
        """``post`` makes one attempt and never raises for what a receiver does.

        ``begin`` makes its first part, for which nothing is waited, and returns the second. ``filters`` evaluates the
        endpoints' filters; without it, what those are about waits for another worker.
        ``announce`` has events dispatched that are recorded here: an endpoint is failing, or was disabled.
        """
        clock = clock if clock is not None else Clock()
        self._store = store
        self._begin_post = begin if begin is not None else lambda claim: partial(post, claim)
        self._filters = filters
        self._bulkhead = bulkhead
        self._rules = rules
        self._monotonic = clock.monotonic
        self._patience_s = min(TASK_PATIENCE_S, rules.slow_after.total_seconds())
        slots = SlotWakeUps(bulkhead, countdown_max=rules.countdown_max, monotonic=clock.monotonic)
        self._claimer = Claimer(store, slots, lease_slack=rules.lease_slack, clock=clock)
        self._settler = Settler(store, slots, rules=rules, announce=announce, clock=clock)
        self._dispatcher = Dispatcher(store, rules=rules, clock=clock)
        self._slots = slots
        self._dispatching = _Counted()
        self._slow_share = _SlowShare(bulkhead)
        self._late: BatchCollector[Result] = BatchCollector(self._settle_late, name="late results", gather_s=GATHER_S)

    def dispatch(self, event_ids: Sequence[UUID], *, wake_ups: WakeUps) -> int:
        """Make deliveries and enqueue them for others to send; return how many were made.

        Of a large fan-out only as many chunks are enqueued as the queue has room for: each task that sends one tops
        itself up with the rest.
        """
        work = self._dispatcher.dispatch(event_ids, wake_ups=wake_ups)
        if work.chunk:
            wake_ups.enqueue(work.chunk, if_room=False)
        if work.error is not None:
            raise work.error
        return work.made

    def dispatch_and_deliver(self, event_ids: Sequence[UUID], *, wake_ups: WakeUps) -> tuple[int, Outcomes]:
        """Make deliveries and send them, as many at a time as there is room for; return how many, and what came.

        They need no claim of their own. What can't be leased is enqueued, but for a last chunk. Goes on for some rounds
        while there is more, and has another task come to it.
        """
        work, outcomes = self._dispatch_round(event_ids, wake_ups, is_first=True)
        made = work.made
        for _ in range(ROUNDS - 1):
            # Others may have done the rest meanwhile.
            if not (work.is_more and self._dispatcher.is_more) or self._dispatching.count >= BACKLOG_TASKS:
                return made, outcomes
            work, came = self._dispatch_round((), wake_ups)
            made += work.made
            outcomes += came
            outcomes.sent += came.sent
        if work.is_more and self._dispatcher.is_more:
            wake_ups.dispatch_more()
        return made, outcomes

    def _dispatch_round(
        self, event_ids: Sequence[UUID], wake_ups: WakeUps, *, is_first: bool = False
    ) -> tuple[DispatchedWork, Outcomes]:
        outcomes = Outcomes()
        with self._dispatching, ExitStack() as stack:
            work = self._dispatcher.dispatch_page(event_ids, bulkhead=self._bulkhead, stack=stack, wake_ups=wake_ups)
            if is_first and work.claims and work.is_more:
                wake_ups.dispatch_more()
            if work.permits is not None and work.claims:
                outcomes = self._send(work.claims, work.permits, patience_s=self._patience_s)
        if work.error is not None:
            raise work.error
        if work.chunk:
            came = self.deliver(work.chunk, wake_ups=wake_ups)
            outcomes += came
            outcomes.sent += came.sent
        return work, outcomes

    def deliver(self, delivery_ids: Sequence[UUID], *, wake_ups: WakeUps, lane: Lane = Lane.QUICK) -> Outcomes:
        """Send the named deliveries that are due, topped up with others to a chunk, and record the results.

        Goes on for some chunks while there is more. Of the slow lane only throttled deliveries are sent, as far as the
        slow share of the bulkhead has room, and nothing else. ``wake_ups`` is used also after the return, as late
        results are stored.
        """
        with self._bulkhead.caller():
            outcomes = self._deliver(delivery_ids, lane, wake_ups)
        self._claimer.wake_for_owed(wake_ups)
        return outcomes

    def _deliver(self, waiting: Sequence[UUID], lane: Lane, wake_ups: WakeUps) -> Outcomes:
        outcomes, rounds, throttled_only = Outcomes(), 0, False
        # For what is known to be slow nobody waits.
        patience_s = 0.0 if lane is Lane.SLOW else self._patience_s
        while True:
            with self._reserve(waiting, lane) as permits:
                taken = self._claimer.take(
                    waiting, size=permits.size, wake_ups=wake_ups, lane=lane, throttled_only=throttled_only
                )
                looks_next = taken.more and taken.throttled_only and lane is Lane.QUICK
                came = self._send(taken.claims, permits, patience_s=patience_s, goes_on=looks_next)
            outcomes += came
            outcomes.sent += came.sent
            if taken.throttled:
                outcomes["throttled"] += taken.throttled
            waiting, throttled_only = taken.left, taken.throttled_only
            rounds += 1
            if not taken.more or (self._bulkhead.callers > BACKLOG_TASKS and not waiting):
                return outcomes
            if rounds >= ROUNDS and not waiting:
                wake_ups.wake(lane)
                return outcomes

    def _reserve(self, waiting: Sequence[UUID], lane: Lane) -> Permits:
        chunk = self._rules.chunk
        if lane is Lane.SLOW:
            return self._slow_share.reserve(chunk)
        # A few that are named are somebody's fresh events; they don't queue up behind a backlog's chunks.
        return self._bulkhead.reserve(chunk, urgent=len(waiting) if len(waiting) < chunk else 0)

    def close(self) -> None:
        """Record what came in late. To be called once no POST is under way."""
        self._late.close()

    def _send(
        self, claims: Sequence[LeasedClaim], permits: Permits, *, patience_s: float, goes_on: bool = False
    ) -> Outcomes:
        """Make the POSTs and record their results; what takes long is recorded when it comes.

        With ``goes_on`` the caller looks for throttled deliveries next.
        """
        outcomes = Outcomes()
        outcomes.sent = _ids_of(claims)
        calls = permits.begin_each(partial(self._begin, _Patience()), claims)
        for group in calls.groups(patience_s=patience_s, late=self._late.put):
            # What is let go by others than the last ones would wait for those.
            outcomes += self._settler.settle(group, goes_on=goes_on and not calls.is_under_way)
        if left := calls.left():
            outcomes["under way"] += len(left)
            if patience_s:
                self._mark_slow_after(calls, self._rules.slow_after.total_seconds() - patience_s)
        return outcomes

    def _settle_late(self, group: list[Result]) -> None:
        self._settler.settle(group)
        if self._slow_share.is_wanted():
            # Permits of it are free again.
            group[0][0].wake_ups.wake(Lane.SLOW)

    def _mark_slow_after(
        self, calls: Calls[LeasedClaim, AttemptResult | Verdict | HeldBack | None], after_s: float
    ) -> None:
        """Mark the endpoints slow that have not answered after that time."""
        timer = threading.Timer(after_s, self._mark_slow, args=[calls])
        timer.daemon = True
        timer.start()

    def _mark_slow(self, calls: Calls[LeasedClaim, AttemptResult | Verdict | HeldBack | None]) -> None:
        try:
            if left := calls.left():
                # What a challenge says of an endpoint's pace may be that of another URL.
                slow = {each.claim.webhook.id for each in left if each.claim.challenge is None}
                tell_news(self._store.mark_slow(slow))
        except UnavailableError as error:
            # Their attempts say the same again when they end.
            log.warning("slow endpoints could not be marked: %s", error)

    def early(self, delivery_ids: Sequence[UUID]) -> dict[timedelta, list[UUID]]:
        """Return those of the deliveries that a message came too early for, by what is left of their wait."""
        longest = self._rules.countdown_max
        return grouped({key: wait for key, wait in self._store.waits(delivery_ids).items() if wait <= longest})

    def _begin(
        self, patience: _Patience, leased: LeasedClaim
    ) -> Callable[[], AttemptResult | Verdict | HeldBack | None]:
        """Begin the POST; its result is None where none may be made, or none that would surely end within its lease.

        Where the endpoint's filter does not let it pass, it is the filter's verdict.
        """
        claim = leased.claim
        began = self._monotonic()
        if not may_be_sent(claim) or began >= leased.start_by:
            return _no_result
        if not claim.webhook.options.filter:
            return self._begin_post(claim)
        if patience.left_s <= 0 or isinstance(claim, BatchClaim):
            # The next ones' POSTs, which are others', would wait for it.
            return partial(self._asked_and_posted, leased)
        begun = self._begin_asked(leased)
        patience.left_s -= self._monotonic() - began
        return begun

    def _asked_and_posted(self, leased: LeasedClaim) -> AttemptResult | Verdict | HeldBack | None:
        return self._begin_asked(leased)()

    def _begin_asked(self, leased: LeasedClaim) -> Callable[[], AttemptResult | Verdict | HeldBack | None]:
        """Ask the endpoint's filter, and begin the POST where it lets it pass."""
        held_back = self._held_back(leased.claim)
        if held_back is not None:
            return lambda: held_back
        if self._monotonic() >= leased.start_by:
            # The filters of a chunk, and of a batch's members, have taken their time.
            return _no_result
        return self._begin_post(leased.claim)

    def _held_back(self, claim: Claim) -> Verdict | HeldBack | None:
        """Return what the endpoint's filter says where it does not let the claim pass, a batch as a whole."""
        if isinstance(claim, BatchClaim):
            answers = {each.delivery.id: self._verdict(each) for each in claim.members}
            held_back = {key: each for key, each in answers.items() if each.answer is not FilterAnswer.MATCHED}
            return HeldBack(held_back) if held_back else None
        verdict = self._verdict(claim)
        return None if verdict.answer is FilterAnswer.MATCHED else verdict

    def _verdict(self, claim: Claim) -> Verdict:
        """Return what the endpoint's filter says of the event, before its first attempt; it passes any other one."""
        if not claim.asks_filter:
            return MATCHED
        if self._filters is None:
            return Verdict(FilterAnswer.UNAVAILABLE, "this worker is made without what evaluates filters")
        text, kind = claim.webhook.options.filter, claim.delivery.event_type
        return self._filters.evaluate(text, event_type=kind, payload=claim.payload)


def may_be_sent(claim: Claim) -> bool:
    """Tell whether nothing speaks against sending it; what waits for verification, or a release, is given back."""
    if claim.reason_to_skip() is not None or (claim.delivery.rendering is not None and claim.awaits_release):
        return False
    return claim.webhook.verification.unverified_since is None or claim.delivery.event_type == VERIFICATION


def _ids_of(claims: Sequence[LeasedClaim]) -> tuple[str, ...]:
    """Return the deliveries as text, the members of batches each by itself."""
    ids: list[str] = []
    for each in claims:
        if isinstance(each.claim, BatchClaim):
            ids += ids_of(each.claim)
        else:
            ids.append(str(each.claim.delivery.id))
    return tuple(ids)


def _no_result() -> None:
    """Return the result of a POST that was not made."""


class _Patience:
    """How long the filters of a chunk may still keep its other POSTs waiting."""

    __slots__ = ("left_s",)

    def __init__(self) -> None:
        self.left_s = FILTERS_PATIENCE_S


class _SlowShare:
    """The slow share of the bulkhead, and whether a task of the slow lane has found it full."""

    def __init__(self, bulkhead: Bulkhead) -> None:
        self._bulkhead = bulkhead
        self._lock = threading.Lock()
        self._was_full = False

    def reserve(self, wanted: int) -> Permits:
        """Take what is free, which may be nothing."""
        with self._lock:
            permits = self._bulkhead.reserve_slow(wanted)
            self._was_full = self._was_full or not permits.size
        return permits

    def is_wanted(self) -> bool:
        """Tell whether it was full since this was last asked."""
        with self._lock:
            was_full, self._was_full = self._was_full, False
        return was_full


class _Counted:
    """How many threads are inside its ``with`` blocks at this moment."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.count = 0

    def __enter__(self) -> None:
        with self._lock:
            self.count += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.count -= 1
