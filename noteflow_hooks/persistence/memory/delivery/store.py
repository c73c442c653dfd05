"""The workers' half in memory: claims, settlements, what the sweep looks for. A call is one transaction."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, cast
from uuid import uuid4

from typing_extensions import override

from noteflow_hooks.domain.attempts import WebhookAttempt
from noteflow_hooks.domain.deliveries import Claim, DeliveryStatus
from noteflow_hooks.domain.exchanges import Exchange, known_of, pairs_of, times_of
from noteflow_hooks.domain.filters import NO_TROUBLE
from noteflow_hooks.domain.health.load import claimable_at_once
from noteflow_hooks.domain.health.news import news_of
from noteflow_hooks.domain.health.slots import SlotUse
from noteflow_hooks.domain.health.state import EndpointHealth, HealthRules, cap
from noteflow_hooks.domain.ordering import rank_of
from noteflow_hooks.domain.ports.delivery_store import (
    EVENTS_PER_ROUND,
    Claimed,
    DeliveryStore,
    Settled,
    ThrottledCount,
    next_slots,
)
from noteflow_hooks.domain.renderings import EventFacts, Rendering
from noteflow_hooks.domain.settling import interruption, stored
from noteflow_hooks.domain.verification import as_asked
from noteflow_hooks.persistence.memory.delivery.batching import (
    claim_batches,
    fresh_batches,
    rest_of_batches,
    singly,
    without_erased_answers,
)
from noteflow_hooks.persistence.memory.delivery.dispatching import dispatch
from noteflow_hooks.persistence.memory.delivery.health_keeper import (
    apply,
    give_missing_slots,
    in_flight,
    own_slots,
    with_slots,
)
from noteflow_hooks.persistence.memory.delivery.order_keeper import Chosen, choose
from noteflow_hooks.persistence.memory.delivery.verification import verify
from noteflow_hooks.persistence.memory.health import health_of, throttle, throttled_of, wake_now
from noteflow_hooks.persistence.memory.tables import age

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from uuid import UUID

    from noteflow_hooks.domain.batches import BatchClaim
    from noteflow_hooks.domain.deliveries import AttemptResult, Settlement, WebhookDelivery
    from noteflow_hooks.domain.health.news import HealthNews
    from noteflow_hooks.domain.health.slots import OwnSlot
    from noteflow_hooks.domain.ports.delivery_store import Dispatched, SchedulingSlot
    from noteflow_hooks.persistence.memory.store import MemoryStore, Session

_AT_ONCE: Final = timedelta(0)


class InMemoryDeliveryStore(DeliveryStore):
    """The workers' half of the store in memory."""

    def __init__(self, store: MemoryStore, rules: HealthRules | None = None) -> None:
        """Work on this store; ``rules`` say how the endpoints' health changes."""
        self._store = store
        self._rules = rules if rules is not None else HealthRules()

    @override
    def dispatch(
        self,
        event_ids: Sequence[UUID],
        *,
        limit: int,
        events: int = EVENTS_PER_ROUND,
        claim: int = 0,
        batches: bool = False,
        lease_slack: timedelta = _AT_ONCE,
    ) -> Dispatched:
        with self._store.transaction() as session:
            # What throttles the rest of a flood does not hold back its first ones.
            before = dict(session.tables.health)
            claims: list[Claim] = []

            def room(key: UUID) -> int:
                own = cap(health_of(session, key), session.tables.webhooks[key], self._rules)
                return max(0, own - in_flight(session, key))

            def lease(waiting: Sequence[WebhookDelivery]) -> None:
                own = partial(_claimed, session, lease_slack=lease_slack)
                claims.extend(fresh_batches(session, waiting, claim=own, most=claim, room=room))

            made = dispatch(session, event_ids, limit=limit, events=events, lease=lease if batches else None)
            together = {each.delivery.id for batch in claims for each in cast("BatchClaim", batch).members}
            for key in made.delivery_ids[: max(0, claim - len(claims))]:
                delivery = session.tables.deliveries[key]
                if self._may_go(session, delivery, health=before.get(delivery.webhook_id)):
                    claims.append(_claimed(session, delivery, lease_slack=lease_slack))
            taken = together | {each.delivery.id for each in claims}
            left = tuple(key for key in made.delivery_ids if key not in taken)
            return replace(made, delivery_ids=left, claims=tuple(claims))

    @override
    def claim(self, delivery_ids: Sequence[UUID], *, limit: int, lease_slack: timedelta) -> Claimed:
        named = set(delivery_ids)
        with self._store.transaction() as session:
            due = _due(session, overdue_by=timedelta(0))
            due.sort(key=lambda delivery: delivery.id not in named)
            claims, throttled = [], []
            for delivery in due[:limit]:
                if self._may_go(session, delivery, health=session.tables.health.get(delivery.webhook_id)):
                    claims.append(_claimed(session, delivery, lease_slack=lease_slack))
                else:
                    throttle(session, delivery)
                    throttled.append(health_of(session, delivery.webhook_id))
            return Claimed(
                claims,
                throttled=len(throttled),
                slots_due=bool(with_slots(session, slow=False)),
                slow_slots_due=any(each.slow_since is not None and each.turn_at is not None for each in throttled),
            )

    @override
    def claim_throttled(self, *, limit: int, slow: bool, lease_slack: timedelta) -> Claimed:
        with self._store.transaction() as session:
            slots = own_slots(session, limit=limit, slow=slow, rules=self._rules)
            claims: list[Claim] = []
            after: list[EndpointHealth] = []
            for each in slots:
                chosen = _chosen(session, each)
                if each.is_batched:
                    own, use = claim_batches(session, each, claim=partial(_claimed, session, lease_slack=lease_slack))
                else:
                    own = [_claimed(session, delivery, lease_slack=lease_slack) for delivery in chosen.deliveries]
                    use = SlotUse(len(own))
                claims += own
                after.append(each.used(use.again_at(chosen.again_at), lease_slack=lease_slack))
                session.tables.health[each.webhook.id] = after[-1]
            return Claimed(claims, slots=next_slots(after, now=session.now()))

    @override
    def settle(self, settlements: Sequence[Settlement]) -> Settled:
        with self._store.transaction() as session:
            return self._settle(session, singly(session, settlements))

    @override
    def now(self) -> datetime:
        with self._store.transaction() as session:
            return session.now()

    @override
    def mark_slow(self, webhook_ids: Collection[UUID]) -> Sequence[HealthNews]:
        news: list[HealthNews] = []
        with self._store.transaction() as session:
            for webhook_id in webhook_ids:
                before = health_of(session, webhook_id)
                after = session.tables.health[webhook_id] = before.slowed(now=session.now())
                news += news_of(before, after, session.tables.webhooks[webhook_id], None)
        return news

    @override
    def waits(self, delivery_ids: Sequence[UUID]) -> Mapping[UUID, timedelta]:
        with self._store.transaction() as session:
            now = session.now()
            stored = (session.tables.deliveries.get(delivery_id) for delivery_id in delivery_ids)
            pending = (each for each in stored if each and each.status is DeliveryStatus.PENDING and not each.held)
            return {each.id: _due_at(each) - now for each in pending if _due_at(each) > now}

    @override
    def reclaim_expired(self, *, limit: int) -> int:
        with self._store.transaction() as session:
            now = session.now()
            stored = session.tables.deliveries.values()
            expired = sorted((each for each in stored if each.is_expired(now)), key=_lease_end)[:limit]
            expired += rest_of_batches(session, expired)
            claimed_at = session.tables.claimed_at
            self._settle(session, [interruption(each, claimed_at=claimed_at[each.id], now=now) for each in expired])
            return len(expired)

    @override
    def undispatched(self, *, older_than: timedelta, limit: int) -> list[UUID]:
        with self._store.transaction() as session:
            last = session.now() - older_than
            waiting = (each for each in session.tables.events.values() if each.dispatched_at is None)
            return [each.id for each in sorted(waiting, key=age) if age(each)[0] <= last][:limit]

    @override
    def due(self, *, overdue_by: timedelta, limit: int) -> list[UUID]:
        with self._store.transaction() as session:
            return [delivery.id for delivery in _due(session, overdue_by=overdue_by)[:limit]]

    @override
    def count_throttled(self, *, limit: int) -> ThrottledCount:
        with self._store.transaction() as session:
            give_missing_slots(session)
            quick, slow = (
                sum(len(throttled_of(session, each.webhook_id)) for each in with_slots(session, slow=lane))
                for lane in (False, True)
            )
            return ThrottledCount(quick=min(quick, limit), slow=min(slow, limit))

    def _may_go(self, session: Session, delivery: WebhookDelivery, *, health: EndpointHealth | None) -> bool:
        """Tell whether an endpoint of this health, of a new one's where there is none, has room for the delivery."""
        webhook, health = session.tables.webhooks[delivery.webhook_id], health or EndpointHealth(delivery.webhook_id)
        under_way = in_flight(session, webhook.id)
        return delivery.forced or claimable_at_once(webhook, health, in_flight=under_way, rules=self._rules) > 0

    def _settle(self, session: Session, settlements: Sequence[Settlement]) -> Settled:
        kept = [each for each in without_erased_answers(session, settlements) if _settled(session, each)]
        for each in kept:
            if each.filter_error is not None:
                trouble = session.tables.filter_trouble.get(each.delivery.webhook_id, NO_TROUBLE)
                session.tables.filter_trouble[each.delivery.webhook_id] = trouble.after([each.filter_error])
        slots, event_ids, news = apply(session, kept, rules=self._rules)
        slots += _released(session, kept)
        slots += verify(session, kept)
        keys = frozenset(each.fencing_key for each in kept)
        return Settled(keys, slots=slots, event_ids=event_ids, news=news)


def _chosen(session: Session, slot: OwnSlot) -> Chosen:
    if slot.webhook.is_active and slot.webhook.options.is_ordered:
        return choose(session, slot)
    return Chosen(throttled_of(session, slot.webhook.id)[: slot.share])


def _released(session: Session, settlements: Sequence[Settlement]) -> list[SchedulingSlot]:
    """Give a slot to endpoints at which something has ended that others of its meeting may wait for."""
    ended = (each.delivery for each in settlements if each.delivery.status is not DeliveryStatus.PENDING)
    endpoints = {each.webhook_id for each in ended if each.ordered_meeting is not None}
    return next_slots([wake_now(session, each) for each in endpoints], now=session.now())


def _due(session: Session, *, overdue_by: timedelta) -> list[WebhookDelivery]:
    last = session.now() - overdue_by
    due = (each for each in session.tables.deliveries.values() if each.is_due(last))
    return sorted(due, key=lambda each: (_due_at(each), each.id))


def _due_at(pending: WebhookDelivery) -> datetime:
    return cast("datetime", pending.next_attempt_at)


def _lease_end(sending: WebhookDelivery) -> datetime:
    return cast("datetime", sending.lease_expires_at)


def _claimed(session: Session, delivery: WebhookDelivery, *, lease_slack: timedelta) -> Claim:
    tables, now = session.tables, session.now()
    webhook, event = tables.webhooks[delivery.webhook_id], tables.events[delivery.event_id]
    rendering = Rendering.of(webhook).stored
    claimed = delivery.claimed(lease_until=now + webhook.lease(lease_slack), rendering=rendering)
    tables.deliveries[delivery.id] = claimed
    tables.claimed_at[delivery.id] = now
    claim = Claim(
        claimed,
        webhook,
        event.payload,
        targeted=event.target_webhook_id == webhook.id,
        erased=event.payload_erased_at is not None,
        facts=None if claimed.rendering is None and event.traceparent is None else EventFacts.of(event),
        rank=rank_of(claimed, event.sequence),
    )
    return as_asked(claim) if delivery.asks_to_verify else claim


def _settled(session: Session, settlement: Settlement) -> bool:
    """Store a result unless the delivery has a new owner, or none, since it was claimed for it."""
    key = settlement.delivery.id
    after = stored(settlement, session.tables.deliveries.get(key), now=session.now())
    if after is None:
        return False
    session.tables.deliveries[key] = after
    if settlement.waits_for_slot:
        health = health_of(session, after.webhook_id)
        session.tables.health[after.webhook_id] = health.with_batch_due(_due_at(after))
    if settlement.attempt is not None:
        _record(session, after, settlement.attempt, batch_id=settlement.batch_id)
    return True


def _record(session: Session, after: WebhookDelivery, result: AttemptResult, *, batch_id: UUID | None) -> None:
    exchange = result.exchange if result.exchange is not None else Exchange()
    known = known_of(
        delivery_id=after.id, event_id=after.event_id, batch_id=batch_id, second=int(result.started_at.timestamp())
    )
    # The answer was left out, since the event was erased meanwhile: its headers may repeat the payload, too.
    is_left_out = result.response_body is not None and after.response_body is None
    attempt = WebhookAttempt(
        id=uuid4(),
        delivery_id=after.id,
        attempt_number=after.attempt_count,
        started_at=result.started_at,
        duration_ms=result.duration_ms,
        status_code=result.status_code,
        response_body=after.response_body,
        error_kind=result.error_kind,
        error_message=result.error_message,
        redialled=result.redialled,
        batch_id=batch_id,
        times=times_of(result.exchange, result.duration_ms),
        request_headers=pairs_of(exchange.sent, known),
        response_headers=() if is_left_out else pairs_of(exchange.heard, known),
    )
    before = session.tables.attempts.get(after.id, ())
    session.tables.attempts[after.id] = (*before, attempt)
    session.tables.recorded_at[after.id] = session.tables.recorded_at[attempt.id] = session.now()
