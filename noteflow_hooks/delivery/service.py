"""The workers' half: events become deliveries, deliveries become POSTs, and their results become rows.

Knows ports, neither SQLAlchemy nor Celery. What a receiver does is a value; a lost database or broker raises, costs
the endpoint no attempt, and is tried again.
"""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from noteflow_hooks.concurrency.collector import BatchCollector
from noteflow_hooks.delivery.claimer import Claimer, Hint, no_hint
from noteflow_hooks.delivery.dispatcher import EVENTS_PER_HINT, FEW_EVENTS, Dispatcher, Own
from noteflow_hooks.delivery.settler import LeasedClaim, Outcomes, Result, Settler, grouped
from noteflow_hooks.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from uuid import UUID

    from noteflow_hooks.concurrency.bulkhead import Bulkhead, Calls, Permits
    from noteflow_hooks.delivery.dispatcher import Chunk, HandOver
    from noteflow_hooks.domain.deliveries import AttemptResult, Claim
    from noteflow_hooks.domain.ports.delivery_store import DeliveryStore
    from noteflow_hooks.domain.ports.unit_of_work import Announce
    from noteflow_hooks.domain.retry import RetryPolicy

log = logging.getLogger(__name__)

_TAKE_BACK_PAGE: Final = 500
#: The most hints that the relay and the sweep let wait in a queue; what is beyond gets its hint on a later run.
QUEUE_BOUND: Final = 200
#: The most hints at turns that the sweep lets wait in a lane's queue, and that whoever finds more to do does.
TURN_HINTS: Final = 8
FLOW_HINTS: Final = 2
#: While so many hints are queued, a round of dispatching adds its first chunk's and no more.
QUEUED_CHUNKS: Final = 8
#: While more tasks than this deliver, none goes on with a backlog: a few keep all threads busy, and the other places
#: are for fresh events.
_LOOPS: Final = 4
#: How long a task waits for its slowest receivers: others need its place. What is left then is recorded when it comes.
_PATIENCE_S: Final = 0.25
#: How many chunks a task takes at the most before it makes room for another: fewer messages for a long backlog.
_ROUNDS: Final = 8


class DeliveryService:
    """Dispatches, delivers, and takes back; one for a worker process, used by all its threads."""

    def __init__(
        self,
        store: DeliveryStore,
        post: Callable[[Claim], AttemptResult],
        pool: Bulkhead,
        *,
        policy: RetryPolicy,
        chunk: int,
        lease_slack: timedelta,
        countdown_max: timedelta,
        slow_after: timedelta,
        announce: Announce = lambda _: None,
        draw: Callable[[], float] = random.random,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``post`` makes one attempt and never raises for what a receiver does; ``draw`` is uniform in [0, 1).

        ``slow_after`` is how long an attempt is waited for before its endpoint counts as slow. ``announce`` hints at
        events that are recorded here: an endpoint is failing, or was disabled.
        """
        self._store = store
        self._post = post
        self._pool = pool
        self._chunk = chunk
        self._lease_slack = lease_slack
        self._countdown_max = countdown_max
        self._slow_after_s = slow_after.total_seconds()
        self._claimer = Claimer(
            store,
            lease_slack=lease_slack,
            countdown_max=countdown_max,
            sleep=sleep,
            monotonic=monotonic,
            loops=lambda: self._loops,
        )
        self._settler = Settler(
            store,
            self._claimer,
            policy=policy,
            countdown_max=countdown_max,
            announce=announce,
            draw=draw,
            sleep=sleep,
            monotonic=monotonic,
        )
        self._dispatcher = Dispatcher(store, chunk=chunk, lease_slack=lease_slack)
        self._late: BatchCollector[Result] = BatchCollector(self._settle_late)
        self._monotonic = monotonic
        self._lock = threading.Lock()
        #: How many tasks deliver at this moment.
        self._loops = 0

    def dispatch(
        self, event_ids: Sequence[UUID], *, hint: Hint = no_hint, room: Callable[[], bool] = lambda: True
    ) -> Iterator[list[UUID]]:
        """Make deliveries and yield their ids in chunks, as :meth:`Dispatcher.chunks` says, for others to send.

        Of a page beyond its first chunk, only as many as ``room`` says that the queue has room for: each that is sent
        tops itself up with the rest.
        """
        return (each.ids for each in self._dispatcher.chunks(event_ids, hint=hint) if each.is_first or room())

    def dispatch_and_deliver(
        self, event_ids: Sequence[UUID], *, hand_over: HandOver, hint: Hint
    ) -> tuple[int, Outcomes]:
        """Make deliveries, hand their ids over in chunks but for one, and send that; return how many, and what came.

        What a quiet moment's events bring is sent without a claim of its own.
        """
        done, made = Outcomes(), 0
        last: Chunk | None = None
        with self._pool.reserve_free(self._chunk if len(event_ids) <= FEW_EVENTS else 0) as free:
            own = Own(free.size, self._monotonic)
            try:
                for chunk in self._dispatcher.chunks(event_ids, hint=hint, own=own):
                    made += len(chunk.ids)
                    if last is not None:
                        hand_over(last.ids, if_room=not last.is_first)
                    last = chunk
                if last is not None and own.claims:
                    hand_over(last.ids, if_room=not last.is_first)
            finally:
                # Whatever became of the rest: nobody else sends these before their lease is over.
                self._send_own(own, free, done, hint)
        if last is not None and not own.claims:
            done += self.deliver(last.ids, hint=hint)
        return made + len(own.claims), done

    def _send_own(self, own: Own, free: Permits, done: Outcomes, hint: Hint) -> None:
        if not own.claims:
            return
        with self._looping():
            held = [LeasedClaim(claim, began + self._lease_s(claim), hint) for began, claim in own.claims]
            self._send(held, free, done, patience_s=min(_PATIENCE_S, self._slow_after_s))
        self._claimer.leave(hint)

    def deliver(self, delivery_ids: Sequence[UUID], *, hint: Hint, slow: bool = False) -> Outcomes:
        """Send the named deliveries that are due, topped up with others to a chunk, and record the results.

        Goes on for some chunks while there is more. ``slow`` sends what slow endpoints have in their turns, as far as
        their share of the threads has room, and nothing else. ``hint`` is called, as results are stored, for what comes
        due again soon.
        """
        done = Outcomes()
        with self._looping():
            self._deliver(list(delivery_ids), done, hint, slow=slow)
        self._claimer.leave(hint)
        return done

    def _deliver(self, waiting: list[UUID], done: Outcomes, hint: Hint, *, slow: bool) -> None:
        rounds, turns_only = 0, False
        while True:
            with self._room(waiting, slow=slow) as room:
                # A lease counts from no earlier than this.
                began = self._monotonic()
                taken = self._claimer.take(waiting, size=room.size, hint=hint, slow=slow, turns_only=turns_only)
                held = [LeasedClaim(each, began + self._lease_s(each), hint) for each in taken.claims]
                # For what is known to be slow nobody waits.
                self._send(held, room, done, patience_s=0.0 if slow else min(_PATIENCE_S, self._slow_after_s))
            claimed = {each.delivery.id for each in taken.claims}
            waiting = [each for each in waiting if each not in claimed] if taken.named_left else []
            turns_only = taken.turns_only
            rounds += 1
            if not taken.more or (self._loops > _LOOPS and not waiting):
                return
            if rounds >= _ROUNDS and not waiting:
                hint(timedelta(0), [], slow=slow)
                return

    @contextmanager
    def _looping(self) -> Iterator[None]:
        """Count the tasks under way."""
        with self._lock:
            self._loops += 1
        try:
            yield
        finally:
            with self._lock:
                self._loops -= 1

    def _room(self, waiting: Sequence[UUID], *, slow: bool) -> Permits:
        if slow:
            return self._pool.reserve_slow(self._chunk)
        # A few that are named are somebody's fresh events; they don't queue up behind a backlog's chunks.
        return self._pool.reserve(self._chunk, urgent=len(waiting) if len(waiting) < self._chunk else 0)

    def close(self) -> None:
        """Record what came in late. To be called once no POST is under way."""
        self._late.close()

    def _send(self, held: Sequence[LeasedClaim], room: Permits, done: Outcomes, *, patience_s: float) -> None:
        """Make the POSTs and record their results; what takes long is recorded when it comes."""
        calls = room.begin(self._attempt, held)
        for group in calls.groups(patience_s=patience_s, late=self._late.put):
            self._settler.settle(group, done)
        if left := calls.left():
            done["under way"] += len(left)
            if patience_s:
                self._watch(calls, self._slow_after_s - patience_s)

    def _settle_late(self, group: list[Result]) -> None:
        self._settler.settle(group, Outcomes())
        # Places of the slow share are free again.
        group[0][0].hint(timedelta(0), [], slow=True)

    def _watch(self, calls: Calls[LeasedClaim, AttemptResult | None], after_s: float) -> None:
        """Mark the endpoints slow that have not answered after that time."""
        timer = threading.Timer(after_s, self._mark_slow, args=[calls])
        timer.daemon = True
        timer.start()

    def _mark_slow(self, calls: Calls[LeasedClaim, AttemptResult | None]) -> None:
        try:
            if left := calls.left():
                self._store.mark_slow({each.claim.webhook.id for each in left})
        except UnavailableError as error:
            # Their attempts say the same again when they end.
            log.warning("slow endpoints could not be marked: %s", error)

    def early(self, delivery_ids: Sequence[UUID]) -> dict[timedelta, list[UUID]]:
        """Return those of the deliveries that a hint came too early for, by what is left of their wait."""
        return grouped(
            {key: wait for key, wait in self._store.waits(delivery_ids).items() if wait <= self._countdown_max}
        )

    def reclaim_expired(self) -> int:
        """Take deliveries from workers that are gone; return how many."""
        taken = 0
        while count := self._store.reclaim_expired(limit=_TAKE_BACK_PAGE):
            taken += count
            log.warning("%d deliveries were taken back from workers that held them past their lease", count)
            if count < _TAKE_BACK_PAGE:
                break
        return taken

    def overdue(self, *, by: timedelta, queued: int) -> list[list[UUID]]:
        """Return, in chunks, the deliveries to hint at: overdue for so long, less what is queued already.

        A queued hint takes a chunk, whichever ids it names; so however often this runs, hints don't pile up.
        """
        return _chunks(self._store.due(overdue_by=by, limit=QUEUE_BOUND * self._chunk), self._chunk)[queued:]

    def turns(self, *, queued: int, queued_slow: int) -> tuple[int, int]:
        """Return how many hints the endpoints' turns need, in the quick and in the slow lane, less what is queued."""
        held = self._store.count_throttled(limit=QUEUE_BOUND * self._chunk)
        quick, slow = (math.ceil(each / self._chunk) for each in (held.quick, held.slow))
        return max(0, min(quick, TURN_HINTS) - queued), max(0, min(slow, TURN_HINTS) - queued_slow)

    def undispatched(self, *, older_than: timedelta, queued: int) -> list[list[UUID]]:
        """Return, in chunks, the events to hint at: committed so long ago, without as many chunks as are queued."""
        waiting = self._store.undispatched(older_than=older_than, limit=QUEUE_BOUND * EVENTS_PER_HINT)
        return _chunks(waiting, EVENTS_PER_HINT)[queued:]

    def _lease_s(self, claim: Claim) -> float:
        return claim.webhook.timeout_ms / 1000 + self._lease_slack.total_seconds()

    def _attempt(self, held: LeasedClaim) -> AttemptResult | None:
        """Make the POST; None where none may be made, or none that would surely end within its lease."""
        latest = held.until - held.claim.webhook.timeout_ms / 1000
        if held.claim.reason_to_skip() is not None or self._monotonic() >= latest:
            return None
        return self._post(held.claim)


def _chunks(ids: list[UUID], size: int) -> list[list[UUID]]:
    return [ids[start : start + size] for start in range(0, len(ids), size)]
