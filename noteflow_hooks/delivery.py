"""The workers' half: events become deliveries, deliveries become POSTs, and their results become rows.

Knows ports, neither SQLAlchemy nor Celery. What a receiver does is a value; a lost database or broker raises, costs
the endpoint no attempt, and is tried again.
"""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import urlsplit

from noteflow_hooks.domain.deliveries import AttemptResult, Claim, DeliveryStatus, ErrorKind, Settlement
from noteflow_hooks.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from uuid import UUID

    from noteflow_hooks.domain.ports import DeliveryStore
    from noteflow_hooks.domain.retry import RetryPolicy
    from noteflow_hooks.posting import PostingPool

log = logging.getLogger(__name__)

#: Deliveries made by one dispatching transaction, at the most.
DISPATCH_PAGE: Final = 2_000
#: Rows that come due within this of each other go back in one message, when the last of them is due.
_RETRY_WINDOW: Final = timedelta(milliseconds=200)
_TAKE_BACK_PAGE: Final = 500
#: The most hints that the relay and the sweep let wait in a queue; what is beyond gets its hint on a later run.
QUEUE_BOUND: Final = 200
_EVENTS_PER_HINT: Final = 500
#: The first and the longest pause between two tries to store results while the database is away.
_STORE_PAUSES_S: Final = (0.1, 2.0)


class Outcomes(Counter[str]):
    """How many deliveries ended up in each state; ``retrying`` for those that wait for another attempt."""

    def __str__(self) -> str:
        """Return the counts in words: ``47 succeeded, 2 retrying, 1 dead``."""
        order = ("succeeded", "retrying", "dead", "skipped", "lost")
        return ", ".join(f"{self[name]} {name}" for name in order if self[name]) or "nothing due"


@dataclass(frozen=True, slots=True)
class _Held:
    """A claim, and when its lease ends by this process's own clock: after that, it may be somebody else's."""

    claim: Claim
    until: float


#: What hints at deliveries again after a wait.
Hint: TypeAlias = "Callable[[timedelta, list[UUID]], None]"


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
        draw: Callable[[], float] = random.random,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``post`` makes one attempt and never raises for what a receiver does; ``draw`` is uniform in [0, 1)."""
        self._store = store
        self._post = post
        self._pool = pool
        self._policy = policy
        self._chunk = chunk
        self._lease_slack = lease_slack
        self._countdown_max = countdown_max
        self._draw = draw
        self._sleep = sleep
        self._monotonic = monotonic

    def dispatch(self, event_ids: Sequence[UUID]) -> Iterator[list[UUID]]:
        """Make deliveries of the named events and of all others that wait; yield their ids in chunks."""
        rest: list[UUID] = []
        more = True
        while more:
            page = self._store.dispatch(event_ids, limit=DISPATCH_PAGE)
            more = page.more
            rest.extend(page.delivery_ids)
            while len(rest) >= self._chunk or (rest and not more):
                yield rest[: self._chunk]
                del rest[: self._chunk]

    def deliver(self, delivery_ids: Sequence[UUID], *, hint: Hint) -> Outcomes:
        """Send the named deliveries that are due, topped up with others to a chunk, and record the results.

        ``hint`` is called, as results are stored, for those that come due again soon; it should not raise.
        """
        done = Outcomes()
        waiting = list(delivery_ids)
        while True:
            with self._pool.reserve(self._chunk) as room:
                began = self._monotonic()
                claims = self._store.claim(waiting, limit=room.size, lease_slack=self._lease_slack)
                held = [_Held(each, began + self._lease_s(each)) for each in claims]
                for group in room.run(self._attempt, held):
                    self._settle(group, done, hint)
            claimed = {each.delivery.id for each in claims}
            waiting = [each for each in waiting if each not in claimed]
            # Fewer than there was room for: what is left of the named ones is not due, or is somebody else's.
            if not waiting or len(claims) < room.size:
                return done

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

    def _settle(self, group: list[tuple[_Held, AttemptResult | None]], done: Outcomes, hint: Hint) -> None:
        settlements = [self._settlement(held, result) for held, result in group]
        stored = self._store_patiently(settlements, max(held.until for held, _ in group))
        waits: dict[UUID, timedelta] = {}
        for (held, _), each in zip(group, settlements, strict=True):
            kept = each.delivery.id in stored
            done[_outcome(each) if kept else "lost"] += 1
            _log(held.claim, each, kept=kept)
            if kept and each.wait is not None and each.wait <= self._countdown_max:
                waits[each.delivery.id] = each.wait
        for wait, ids in grouped(waits).items():
            hint(wait, ids)

    def _store_patiently(self, group: list[Settlement], until: float) -> set[UUID]:
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

    def _store_group(self, group: list[Settlement]) -> set[UUID]:
        try:
            return self._store.settle(group)
        except UnavailableError:
            raise
        except Exception:
            # One row that the store refuses must not take the others with it, whatever is wrong with it.
            log.exception("a group of %d results could not be stored; storing them one by one", len(group))
            return set().union(*(self._store_one(each) for each in group))

    def _store_one(self, settlement: Settlement) -> set[UUID]:
        for each in (settlement, _without_text(settlement)):
            try:
                return self._store.settle([each])
            except UnavailableError:
                raise
            except Exception:
                # The boundary of one row: its lease runs out and the sweep takes it back.
                log.exception("the result of delivery %s could not be stored", settlement.delivery.id)
        return set()


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
