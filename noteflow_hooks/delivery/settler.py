"""What came of attempts becomes rows: each delivery's next state, its attempt, and hints at what comes due soon."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeAlias

from noteflow_hooks.concurrency.group_commit import GroupCommit
from noteflow_hooks.domain.deliveries import AttemptResult, Claim, DeliveryStatus, ErrorKind, Settlement
from noteflow_hooks.domain.ports.delivery_store import Settled
from noteflow_hooks.domain.urls import host_of
from noteflow_hooks.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from noteflow_hooks.delivery.claimer import Claimer, Hint
    from noteflow_hooks.domain.ports.delivery_store import DeliveryStore
    from noteflow_hooks.domain.ports.unit_of_work import Announce
    from noteflow_hooks.domain.retry import RetryPolicy

log = logging.getLogger(__name__)

#: Rows that come due within this of each other go back in one message, when the last of them is due.
_RETRY_WINDOW: Final = timedelta(milliseconds=200)
#: The first and the longest pause between two tries to store results while the database is away.
_STORE_PAUSES_S: Final = (0.1, 2.0)
#: How long it is tried beyond the leases. While the database is away nobody else can take the deliveries, and right
#: after its start nobody does.
_STORE_BEYOND_S: Final = 300.0
#: What an operator needs to know beyond the attempt's message, which is the tenant's to read.
_HINTS: Final = {
    ErrorKind.ADDRESS_NOT_ALLOWED: "; NOTEFLOW_HOOKS_EGRESS_ALLOW, NOTEFLOW_HOOKS_EGRESS_PORTS or a proxy can allow it"
}


class Outcomes(Counter[str]):
    """How many deliveries ended up in each state; ``retrying`` for those that wait for another attempt."""

    def __str__(self) -> str:
        """Return the counts in words: ``47 succeeded, 2 retrying, 1 dead``."""
        order = ("succeeded", "retrying", "dead", "skipped", "lost", "under way")
        return ", ".join(f"{self[name]} {name}" for name in order if self[name]) or "nothing due"


@dataclass(frozen=True, slots=True)
class LeasedClaim:
    """A claim, when its lease ends by this process's own clock, and whom to tell of what comes next."""

    claim: Claim
    #: After that, it may be somebody else's.
    until: float
    hint: Hint


Result: TypeAlias = "tuple[LeasedClaim, AttemptResult | None]"


class Settler:
    """Stores results for all tasks of a process."""

    def __init__(
        self,
        store: DeliveryStore,
        claimer: Claimer,
        *,
        policy: RetryPolicy,
        countdown_max: timedelta,
        announce: Announce,
        draw: Callable[[], float],
        sleep: Callable[[float], None],
        monotonic: Callable[[], float],
    ) -> None:
        """``claimer`` knows which hints at turns are on their way; ``announce`` hints at events."""
        self._store = store
        self._claimer = claimer
        self._policy = policy
        self._countdown_max = countdown_max
        self._announce = announce
        self._draw = draw
        self._sleep = sleep
        self._monotonic = monotonic
        self._failures = GroupCommit(self._store_patiently)

    def settle(self, group: list[Result], done: Outcomes) -> None:
        """Store results and count them in ``done``; hint at what comes due again soon, and at turns.

        Those of endpoints that are well wait for no failure's.
        """
        failed = [each for each in group if each[1] is not None and not each[1].succeeded]
        others = [each for each in group if each[1] is None or each[1].succeeded]
        for part, store in ((others, self._store_patiently), (failed, self._store_failures)):
            if part:
                self._settle(part, done, store)

    def _settle(self, group: list[Result], done: Outcomes, store: Callable[[list[Settlement], float], Settled]) -> None:
        settlements = [self._settlement(held, result) for held, result in group]
        settled = store(settlements, max(held.until for held, _ in group))
        waits: dict[Hint, dict[UUID, timedelta]] = {}
        for (held, _), each in zip(group, settlements, strict=True):
            kept = each.fencing_key in settled.fencing_keys
            done[_outcome(each) if kept else "lost"] += 1
            _log(held.claim, each, kept=kept)
            if kept and each.wait is not None and each.wait <= self._countdown_max:
                waits.setdefault(held.hint, {})[each.delivery.id] = each.wait
        for hint, own in waits.items():
            for wait, ids in grouped(own).items():
                hint(wait, ids)
        self._claimer.hint_at(settled.slots, group[0][0].hint)
        if settled.event_ids:
            self._announce(settled.event_ids)

    def _settlement(self, held: LeasedClaim, result: AttemptResult | None) -> Settlement:
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

    def _store_failures(self, group: list[Settlement], until: float) -> Settled:
        """Store failures with those of other tasks; what follows from all of them is told to one task alone."""
        settled, leads = self._failures.commit(group, until)
        return settled if leads else Settled(settled.fencing_keys)

    def _store_patiently(self, group: list[Settlement], until: float) -> Settled:
        """Store results also while the database restarts: what was sent and is not on record will be sent twice.

        Tries for some minutes longer than the leases run: a result counts for as long as nobody took the delivery back.
        """
        pause, longest = _STORE_PAUSES_S
        while True:
            try:
                return self._store_group(group)
            except UnavailableError:
                if self._monotonic() >= until + _STORE_BEYOND_S:
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
            frozenset().union(*(each.fencing_keys for each in stored)),
            slots=[slot for each in stored for slot in each.slots],
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
        log.info("delivery %s to %s succeeded", delivery.id, host_of(claim.webhook.url))
    else:
        log.log(
            logging.ERROR if result.error_kind is ErrorKind.INTERNAL else logging.WARNING,
            "delivery %s attempt %d to webhook %s at %s: %s in %d ms%s",
            delivery.id,
            delivery.attempt_count,
            claim.webhook.id,
            host_of(claim.webhook.url),
            result.error_message,
            result.duration_ms,
            _HINTS.get(result.error_kind or ErrorKind.INTERNAL, ""),
        )
