"""The workers' half: events become deliveries, deliveries become POSTs, and their results become rows.

Knows ports, neither SQLAlchemy nor Celery. What a receiver does is a value; a lost database or broker raises, costs
the endpoint no attempt, and is tried again.
"""

from __future__ import annotations

import logging
import math
import random
import time
from collections import Counter
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias
from urllib.parse import urlsplit

from noteflow_hooks.claiming import Claimer, Hint
from noteflow_hooks.domain.deliveries import AttemptResult, Claim, DeliveryStatus, ErrorKind, Settlement
from noteflow_hooks.domain.ports import Settled
from noteflow_hooks.errors import UnavailableError
from noteflow_hooks.late import LateResults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from uuid import UUID

    from noteflow_hooks.domain.ports import Announce, DeliveryStore
    from noteflow_hooks.domain.retry import RetryPolicy
    from noteflow_hooks.posting import PostingPool, Reservation

log = logging.getLogger(__name__)

#: Deliveries made by one dispatching transaction, at the most.
DISPATCH_PAGE: Final = 2_000
#: Rows that come due within this of each other go back in one message, when the last of them is due.
_RETRY_WINDOW: Final = timedelta(milliseconds=200)
_TAKE_BACK_PAGE: Final = 500
#: The most hints that the relay and the sweep let wait in a queue; what is beyond gets its hint on a later run.
QUEUE_BOUND: Final = 200
_EVENTS_PER_HINT: Final = 500
#: The most hints at turns that the sweep lets wait in a lane's queue, and that whoever finds more to do does.
TURN_HINTS: Final = 8
FLOW_HINTS: Final = 2
#: How many chunks a task takes at the most before it makes room for another: fewer messages for a long backlog.
_ROUNDS: Final = 10
#: The first and the longest pause between two tries to store results while the database is away.
_STORE_PAUSES_S: Final = (0.1, 2.0)


class Outcomes(Counter[str]):
    """How many deliveries ended up in each state; ``retrying`` for those that wait for another attempt."""

    def __str__(self) -> str:
        """Return the counts in words: ``47 succeeded, 2 retrying, 1 dead``."""
        order = ("succeeded", "retrying", "dead", "skipped", "lost", "under way")
        return ", ".join(f"{self[name]} {name}" for name in order if self[name]) or "nothing due"


class HintAtTurns(Protocol):
    """What hints at the turns that a lane has now."""

    def __call__(self, *, slow: bool) -> None:
        """Hint, unless enough such hints wait in the lane's queue."""
        ...


@dataclass(frozen=True, slots=True)
class _Held:
    """A claim, when its lease ends by this process's own clock, and whom to tell of what comes next."""

    claim: Claim
    #: After that, it may be somebody else's.
    until: float
    hint: Hint


_Result: TypeAlias = "tuple[_Held, AttemptResult | None]"


class DeliveryService:
    """Dispatches, delivers, and takes back; one for a worker process, used by all its threads."""

    def __init__(
        self,
        store: DeliveryStore,
        post: Callable[[Claim], AttemptResult],
        pool: PostingPool,
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
        self._policy = policy
        self._chunk = chunk
        self._lease_slack = lease_slack
        self._countdown_max = countdown_max
        self._slow_after_s = slow_after.total_seconds()
        self._announce = announce
        self._claimer = Claimer(
            store, lease_slack=lease_slack, countdown_max=countdown_max, sleep=sleep, monotonic=monotonic
        )
        self._late: LateResults[_Result] = LateResults(self._settle_late)
        self._draw = draw
        self._sleep = sleep
        self._monotonic = monotonic

    def dispatch(self, event_ids: Sequence[UUID], *, hint: HintAtTurns = lambda **_: None) -> Iterator[list[UUID]]:
        """Make deliveries of the named events and of all others that wait; yield their ids in chunks.

        ``hint`` is called for what goes in its endpoints' turns instead.
        """
        rest: list[UUID] = []
        more = True
        while more:
            page = self._store.dispatch(event_ids, limit=DISPATCH_PAGE)
            more = page.more
            rest.extend(page.delivery_ids)
            while len(rest) >= self._chunk or (rest and not more):
                yield rest[: self._chunk]
                del rest[: self._chunk]
            if page.turns:
                hint(slow=False)
            if page.slow_turns:
                hint(slow=True)

    def deliver(self, delivery_ids: Sequence[UUID], *, hint: Hint, slow: bool = False) -> Outcomes:
        """Send the named deliveries that are due, topped up with others to a chunk, and record the results.

        Goes on for some chunks while there is more. ``slow`` sends what slow endpoints have in their turns, as far as
        their share of the threads has room, and nothing else. ``hint`` is called, as results are stored, for what comes
        due again soon.
        """
        done = Outcomes()
        waiting = list(delivery_ids)
        rounds, turns_only = 0, False
        while True:
            with self._pool.reserve_slow(self._chunk) if slow else self._pool.reserve(self._chunk) as room:
                # A lease counts from no earlier than this.
                began = self._monotonic()
                taken = self._claimer.take(waiting, size=room.size, hint=hint, slow=slow, turns_only=turns_only)
                held = [_Held(each, began + self._lease_s(each), hint) for each in taken.claims]
                # For what is known to be slow nobody waits.
                self._send(held, room, done, patience_s=0.0 if slow else self._slow_after_s)
            claimed = {each.delivery.id for each in taken.claims}
            waiting = [each for each in waiting if each not in claimed]
            turns_only = taken.turns_only
            rounds += 1
            if not taken.more:
                return done
            if rounds >= _ROUNDS and not waiting:
                hint(timedelta(0), [], slow=slow)
                return done

    def close(self) -> None:
        """Record what came in late. To be called once no POST is under way."""
        self._late.close()

    def _send(self, held: Sequence[_Held], room: Reservation, done: Outcomes, *, patience_s: float) -> None:
        """Make the POSTs and record their results; what takes long is recorded when it comes."""
        calls = room.begin(self._attempt, held)
        for group in calls.groups(patience_s=patience_s, late=self._late.put):
            self._settle(group, done)
        if left := calls.left():
            done["under way"] += len(left)
            if patience_s:
                self._mark_slow({each.claim.webhook.id for each in left})

    def _mark_slow(self, webhook_ids: set[UUID]) -> None:
        try:
            self._store.mark_slow(webhook_ids)
        except UnavailableError as error:
            # Their attempts say the same again when they end.
            log.warning("slow endpoints could not be marked: %s", error)

    def early(self, delivery_ids: Sequence[UUID]) -> dict[timedelta, list[UUID]]:
        """Return those of the deliveries that a hint came too early for, by what is left of their wait."""
        return grouped(
            {key: wait for key, wait in self._store.waits(delivery_ids).items() if wait <= self._countdown_max}
        )

    def take_back(self) -> int:
        """Take deliveries from workers that are gone; return how many."""
        taken = 0
        while count := self._store.take_back(limit=_TAKE_BACK_PAGE):
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
        held = self._store.held(limit=QUEUE_BOUND * self._chunk)
        quick, slow = (math.ceil(each / self._chunk) for each in (held.quick, held.slow))
        return max(0, min(quick, TURN_HINTS) - queued), max(0, min(slow, TURN_HINTS) - queued_slow)

    def undispatched(self, *, older_than: timedelta, queued: int) -> list[list[UUID]]:
        """Return, in chunks, the events to hint at: committed so long ago, without as many chunks as are queued."""
        waiting = self._store.undispatched(older_than=older_than, limit=QUEUE_BOUND * _EVENTS_PER_HINT)
        return _chunks(waiting, _EVENTS_PER_HINT)[queued:]

    def _lease_s(self, claim: Claim) -> float:
        return claim.webhook.timeout_ms / 1000 + self._lease_slack.total_seconds()

    def _attempt(self, held: _Held) -> AttemptResult | None:
        """Make the POST; None where none may be made, or none any more."""
        if held.claim.reason_to_skip() is not None or self._monotonic() >= held.until:
            return None
        return self._post(held.claim)

    def _settlement(self, held: _Held, result: AttemptResult | None) -> Settlement:
        claim = held.claim
        if result is not None:
            after, wait = claim.delivery.attempted(
                result, max_retries=claim.webhook.max_retries, policy=self._policy, draw=self._draw()
            )
            return Settlement(delivery=after, wait=wait, attempt=result)
        reason = claim.reason_to_skip()
        if reason is not None:
            return Settlement(delivery=claim.delivery.skipped(reason))
        return Settlement(delivery=claim.delivery.released(), wait=timedelta(0))

    def _settle(self, group: list[_Result], done: Outcomes) -> None:
        settlements = [self._settlement(held, result) for held, result in group]
        settled = self._store_patiently(settlements, max(held.until for held, _ in group))
        waits: dict[Hint, dict[UUID, timedelta]] = {}
        for (held, _), each in zip(group, settlements, strict=True):
            kept = each.delivery.id in settled.ids
            done[_outcome(each) if kept else "lost"] += 1
            _log(held.claim, each, kept=kept)
            if kept and each.wait is not None and each.wait <= self._countdown_max:
                waits.setdefault(held.hint, {})[each.delivery.id] = each.wait
        for hint, own in waits.items():
            for wait, ids in grouped(own).items():
                hint(wait, ids)
        self._claimer.hint_at(settled.turns, group[0][0].hint)
        if settled.event_ids:
            self._announce(settled.event_ids)

    def _settle_late(self, group: list[_Result]) -> None:
        self._settle(group, Outcomes())
        # Places of the slow share are free again.
        group[0][0].hint(timedelta(0), [], slow=True)

    def _store_patiently(self, group: list[Settlement], until: float) -> Settled:
        """Store results also while the database restarts: what was sent and is not on record will be sent twice.

        Tries for as long as the leases run; after that the sweep takes the deliveries back anyway.
        """
        pause, longest = _STORE_PAUSES_S
        while True:
            try:
                return self._store_group(group)
            except UnavailableError:
                if self._monotonic() >= until:
                    raise
                log.warning("%d results wait for the database", len(group))
            self._sleep(pause)
            pause = min(2 * pause, longest)

    def _store_group(self, group: list[Settlement]) -> Settled:
        try:
            return self._store.settle(group)
        except UnavailableError:
            raise
        except Exception:
            # One row that the store refuses must not take the others with it, whatever is wrong with it.
            log.exception("a group of %d results could not be stored; storing them one by one", len(group))
            stored = [self._store_one(each) for each in group]
        return Settled(
            frozenset().union(*(each.ids for each in stored)),
            turns=[turn for each in stored for turn in each.turns],
            event_ids=[event_id for each in stored for event_id in each.event_ids],
        )

    def _store_one(self, settlement: Settlement) -> Settled:
        for each in (settlement, _without_text(settlement)):
            try:
                return self._store.settle([each])
            except UnavailableError:
                raise
            except Exception:
                # The boundary of one row: its lease runs out and the sweep takes it back.
                log.exception("the result of delivery %s could not be stored", settlement.delivery.id)
        return Settled(frozenset())


def _outcome(settlement: Settlement) -> str:
    status = settlement.delivery.status
    return "retrying" if status is DeliveryStatus.PENDING else status.value


def grouped(waits: dict[UUID, timedelta]) -> dict[timedelta, list[UUID]]:
    """Put waits that end within a short window together, under the longest of them."""
    groups: dict[timedelta, list[UUID]] = {}
    longest: timedelta | None = None
    for key, wait in sorted(waits.items(), key=lambda item: item[1], reverse=True):
        if longest is None or longest - wait > _RETRY_WINDOW:
            longest = wait
        groups.setdefault(longest, []).append(key)
    return groups


def _chunks(ids: list[UUID], size: int) -> list[list[UUID]]:
    return [ids[start : start + size] for start in range(0, len(ids), size)]


def _without_text(settlement: Settlement) -> Settlement:
    """Return the settlement without what the receiver said, for a text that the store can't take after all."""
    message = "The answer could not be recorded"
    attempt = settlement.attempt
    if attempt is not None:
        failed = attempt.error_kind is not None
        attempt = replace(attempt, response_body=None, error_message=message if failed else None)
    delivery = settlement.delivery
    text = message if delivery.error_message is not None else None
    return replace(settlement, delivery=replace(delivery, response_body=None, error_message=text), attempt=attempt)


def _log(claim: Claim, settlement: Settlement, *, kept: bool) -> None:
    delivery, result = settlement.delivery, settlement.attempt
    if not kept:
        log.warning("delivery %s was taken back before its result was recorded", delivery.id)
    elif result is None:
        log.info("delivery %s is %s: %s", delivery.id, delivery.status, delivery.error_message)
    elif result.succeeded:
        log.info("delivery %s to %s succeeded", delivery.id, urlsplit(claim.webhook.url).hostname)
    else:
        log.log(
            logging.ERROR if result.error_kind is ErrorKind.INTERNAL else logging.WARNING,
            "delivery %s attempt %d to webhook %s at %s: %s in %d ms",
            delivery.id,
            delivery.attempt_count,
            claim.webhook.id,
            urlsplit(claim.webhook.url).hostname,
            result.error_message,
            result.duration_ms,
        )
