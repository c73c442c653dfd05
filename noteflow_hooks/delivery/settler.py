"""Results become rows: each delivery's next state, its attempt, and the retries that come due soon."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypeAlias

from noteflow_hooks.concurrency.group_commit import GroupCommit
from noteflow_hooks.delivery.tuning import RETRY_WINDOW, STORE_BEYOND_S, STORE_ENDING_S, STORE_PAUSES_S
from noteflow_hooks.domain.attempt_line import Destination, attempt_line, death_line
from noteflow_hooks.domain.batches import BatchClaim
from noteflow_hooks.domain.deliveries import DeliveryStatus, Settlement
from noteflow_hooks.domain.filters import UNAVAILABLE, HeldBack, Verdict
from noteflow_hooks.domain.ports.delivery_store import Settled, joined
from noteflow_hooks.domain.skipping import SkipReason
from noteflow_hooks.domain.urls import host_of
from noteflow_hooks.domain.whole_batches import WholeSuccess, whole_success
from noteflow_hooks.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import timedelta
    from uuid import UUID

    from noteflow_hooks.delivery.claimer import LeasedClaim
    from noteflow_hooks.delivery.tuning import Clock, DeliveryRules
    from noteflow_hooks.delivery.wake_ups import SlotWakeUps, WakeUps
    from noteflow_hooks.domain.deliveries import AttemptResult, Claim, Settlement, WebhookDelivery
    from noteflow_hooks.domain.health.news import HealthNews
    from noteflow_hooks.domain.ports.delivery_store import DeliveryStore
    from noteflow_hooks.domain.ports.unit_of_work import Announce

log = logging.getLogger(__name__)

Result: TypeAlias = "tuple[LeasedClaim, AttemptResult | Verdict | HeldBack | None]"
#: A result with the settlement that it leads to, and the fencing key under which that counts.
_Settling: TypeAlias = "tuple[LeasedClaim, Settlement, tuple[UUID, int]]"


#: So many ids a task shows of what it sent: a chunk's, by which an operator finds it.
SHOWN_IDS: Final = 50


class Outcomes(Counter[str]):
    """How many deliveries ended up in each state; ``retrying`` for those that wait for another attempt.

    Not sent are those that are ``throttled``: they wait for their endpoints' scheduling slots from then on.
    """

    #: The deliveries that were sent, as text. Adding up counts leaves them out.
    sent: tuple[str, ...] = ()

    def shown(self, named: Collection[str] = ()) -> str:
        """Return the counts in words, and the ids of what was sent, as many as are shown, but for the named ones."""
        beside = [each for each in self.sent if each not in named]
        if not beside:
            return str(self)
        ids = ", ".join(beside[:SHOWN_IDS])
        return f"{self}; {ids}" if len(beside) <= SHOWN_IDS else f"{self}; {ids} and {len(beside) - SHOWN_IDS} more"

    def __str__(self) -> str:
        """Return the counts in words: ``47 succeeded, 2 retrying, 1 dead``."""
        order = ("succeeded", "retrying", "dead", "skipped", "lost", "under way", "throttled")
        return ", ".join(f"{self[name]} {name}" for name in order if self[name]) or "nothing due"


class Settler:
    """Stores results for all tasks of a process."""

    def __init__(
        self, store: DeliveryStore, slots: SlotWakeUps, *, rules: DeliveryRules, announce: Announce, clock: Clock
    ) -> None:
        """``slots`` knows which wake-ups are on their way; ``announce`` has recorded events dispatched."""
        self._store = store
        self._slots = slots
        self._rules = rules
        self._announce = announce
        self._clock = clock
        self._failures = GroupCommit(self._store_patiently)

    def settle(self, group: list[Result], *, goes_on: bool = False) -> Outcomes:
        """Store results and return what came of them; see to it that what comes due again soon is retried.

        Failures are stored with those of other tasks; what succeeded waits for none of them. With ``goes_on`` the
        caller looks for throttled deliveries next.
        """
        failed: list[_Settling] = []
        others: list[_Settling] = []
        for leased, result in group:
            if isinstance(leased.claim, BatchClaim):
                answer = None if isinstance(result, Verdict) else result
                self._add_batch(leased, leased.claim, answer, failed=failed, others=others)
                continue
            own = None if isinstance(result, HeldBack) else result
            settlement = leased.claim.settlement(own, policy=self._rules.policy, draw=self._clock.draw)
            part = failed if settlement.is_failure else others
            part.append((leased, settlement, settlement.fencing_key))
        outcomes = self._settle(others, self._store_patiently, goes_on=goes_on) if others else Outcomes()
        if failed:
            outcomes += self._settle(failed, self._store_failures, goes_on=goes_on)
        return outcomes

    def _add_batch(
        self,
        leased: LeasedClaim,
        batch: BatchClaim,
        result: AttemptResult | HeldBack | None,
        *,
        failed: list[_Settling],
        others: list[_Settling],
    ) -> None:
        """Add what the result of a batch's one POST leads to for its members, which are stored together."""
        whole = whole_success(batch, result, policy=self._rules.policy)
        if whole is not None:
            others.append((leased, whole, whole.fencing_key))
            return
        settlements = batch.settlements(result, policy=self._rules.policy, draw=self._clock.draw)
        part = failed if any(each.is_failure for each in settlements) else others
        part += [(leased, each, each.fencing_key) for each in settlements]

    def _settle(
        self, group: list[_Settling], store: Callable[[list[Settlement], float], Settled], *, goes_on: bool
    ) -> Outcomes:
        settlements = [settlement for _, settlement, _ in group]
        lease_end = max(leased.start_by + leased.claim.webhook.timeout_ms / 1000 for leased, _, _ in group)
        settled = store(settlements, lease_end)
        outcomes, succeeded = Outcomes(), list[str]()
        #: Batches of which a failed attempt is told already: it is one attempt.
        logged: set[tuple[UUID, str]] = set()
        each_attempt = log.isEnabledFor(logging.DEBUG)
        for leased, settlement, key in group:
            is_kept = key in settled.fencing_keys
            outcome = _outcome(settlement) if is_kept else "lost"
            together = settlement.together if isinstance(settlement, WholeSuccess) else (settlement.delivery.id,)
            outcomes[outcome] += len(together)
            if outcome == "succeeded":
                host = host_of(leased.claim.webhook.url)
                for each in together:
                    succeeded.append(f"delivery {each} to {host} succeeded")
                if not each_attempt:
                    continue
            if settlement.batch_id is None or (settlement.batch_id, outcome) not in logged:
                _log(leased.claim, settlement, is_kept=is_kept)
                if settlement.batch_id is not None:
                    logged.add((settlement.batch_id, outcome))
        if succeeded:
            # One record, and a line for each: to make a record takes three times as long as the line.
            log.info("\n".join(succeeded), extra={"lines": succeeded})
        if settled.news:
            tell_news(settled.news)
        self._follow_up(group, settled, goes_on=goes_on)
        return outcomes

    def _follow_up(self, group: list[_Settling], settled: Settled, *, goes_on: bool) -> None:
        """Send the retries and wake-ups that follow from what was stored, and announce its events."""
        waits: dict[WakeUps, dict[UUID, timedelta]] = {}
        for leased, settlement, key in group:
            wait = settlement.wait
            if wait is None or settlement.waits_for_slot:
                continue
            if wait <= self._rules.countdown_max and key in settled.fencing_keys:
                waits.setdefault(leased.wake_ups, {})[settlement.delivery.id] = wait
        for wake_ups, own in waits.items():
            for delay, ids in grouped(own).items():
                wake_ups.retry_later(ids, delay=delay)
        if settled.slots:
            self._slots.wake_for(settled.slots, group[0][0].wake_ups, goes_on=goes_on)
        if settled.event_ids:
            self._announce(settled.event_ids)

    def _store_failures(self, group: list[Settlement], until: float) -> Settled:
        """Store failures with those of other tasks; what follows from all of them is one task's to do."""
        settled, leads = self._failures.commit(group, until)
        return settled if leads else Settled(settled.fencing_keys)

    def _store_patiently(self, group: list[Settlement], until: float) -> Settled:
        """Store results also while the database restarts: what was sent and is not on record will be sent twice.

        Tries for some minutes longer than the leases run: a result counts until the delivery is reclaimed. A process
        that is told to end tries for seconds.
        """
        pause, longest = STORE_PAUSES_S
        while True:
            try:
                return self._store_group(group)
            except UnavailableError:
                # Not for each group anew: late results are stored one group after another.
                ending_until = self._clock.ending_since() + STORE_ENDING_S
                if self._clock.monotonic() >= min(until + STORE_BEYOND_S, ending_until):
                    raise
                log.warning("%d results wait for the database", len(group))
            self._clock.sleep(pause)
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
        return joined(stored)

    def _store_one(self, settlement: Settlement) -> Settled:
        for each in (settlement, _without_text(settlement)):
            try:
                return self._store.settle([each])
            except UnavailableError:
                raise
            except Exception:
                # The boundary of one row: its lease expires, and the sweep reclaims it.
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
        if longest is None or longest - wait > RETRY_WINDOW:
            longest = wait
        groups.setdefault(longest, []).append(key)
    return groups


def _without_text(settlement: Settlement) -> Settlement:
    """Return the settlement without what the receiver said, for a text that the store can't take after all."""
    message = "The answer could not be recorded"
    attempt = settlement.attempt
    if attempt is not None:
        failed = attempt.error_kind is not None
        attempt = attempt._replace(response_body=None, error_message=message if failed else None, exchange=None)
    delivery = settlement.delivery
    text = message if delivery.error_message is not None else None
    return replace(settlement, delivery=delivery._replace(response_body=None, error_message=text), attempt=attempt)


def _level(delivery: WebhookDelivery) -> int:
    """Return the level at which a delivery that was not sent is logged: most events of an endpoint may be filtered."""
    if delivery.skip_reason is SkipReason.FILTERED:
        return logging.DEBUG
    return logging.WARNING if delivery.error_message == UNAVAILABLE else logging.INFO


def tell_news(news: Sequence[HealthNews]) -> None:
    """Log what has changed of endpoints' health."""
    for each in news:
        log.log(logging.INFO if each.is_good else logging.WARNING, "%s", each, extra={"fields": each.fields})


def _log(claim: Claim, settlement: Settlement, *, is_kept: bool) -> None:
    delivery, result = settlement.delivery, settlement.attempt
    if result is None:
        if is_kept:
            log.log(_level(delivery), "delivery %s is %s: %s", delivery.id, delivery.status, delivery.error_message)
        else:
            log.warning("delivery %s was reclaimed before its result was recorded", delivery.id)
        return
    webhook = claim.webhook
    to = Destination(webhook.id, webhook.workspace_id, host_of(webhook.url))
    members = len(claim.members) if isinstance(claim, BatchClaim) else None
    line = attempt_line(settlement, result, to, now=datetime.now(UTC), is_kept=is_kept, members=members)
    log.log(line.level, "%s", line.text, extra={"fields": line.fields})
    if is_kept and delivery.status is DeliveryStatus.DEAD:
        line = death_line(settlement, to)
        log.log(line.level, "%s", line.text, extra={"fields": line.fields})
