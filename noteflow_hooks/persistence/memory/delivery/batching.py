"""Batches in memory: a slot of an endpoint whose deliveries go together. Its caller has begun."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast
from uuid import UUID, uuid4

from noteflow_hooks.domain.batches import (
    NO_LIMIT,
    Batch,
    Waiting,
    assembled,
    begun,
    fixed_rendering,
    fresh_groups,
    is_missing_members,
    planned,
    without_batch,
)
from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.health.load import leases_batches
from noteflow_hooks.domain.health.slots import SlotUse
from noteflow_hooks.domain.renderings import EventFacts
from noteflow_hooks.domain.skipping import ERASED
from noteflow_hooks.domain.whole_batches import WholeSuccess
from noteflow_hooks.persistence.memory.health import health_of, throttled_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from noteflow_hooks.domain.deliveries import Claim, Settlement, WebhookDelivery
    from noteflow_hooks.domain.health.slots import OwnSlot
    from noteflow_hooks.persistence.memory.store import Session


def is_batched(session: Session, webhook_id: UUID) -> bool:
    """Tell whether an endpoint's deliveries go in batches, or some of them wait as a batch, since they once did."""
    if session.tables.webhooks[webhook_id].options.batch_max:
        return True
    return any(each.webhook_id == webhook_id for each in _in_batches(session))


def claim_batches(
    session: Session, slot: OwnSlot, *, claim: Callable[[WebhookDelivery], Claim]
) -> tuple[list[Claim], SlotUse]:
    """Claim up to the slot's share of POSTs: batches that are due again, then new ones."""
    if not slot.share:
        return [], SlotUse()
    now = slot.now
    live = _live(session, slot)[: slot.share]
    fresh = [_waiting(session, each) for each in throttled_of(session, slot.webhook.id) if _is_fresh(each, now)]
    plan = planned(fresh, slot.webhook, most=slot.share - len(live), now=now)
    made = [replace(begun(each, uuid4(), slot.webhook), created_at=now) for each in plan.groups if not each.alone]
    session.tables.batches.update({each.id: each for each in made})
    claims = [_claimed(session, each, claim) for each in [*live, *made]]
    claims += [claim(session.tables.deliveries[key]) for each in plan.groups if each.alone for key in each.ids]
    later = [
        _due_at(each)
        for each in _in_batches(session)
        if each.webhook_id == slot.webhook.id and each.status is DeliveryStatus.PENDING and _due_at(each) > now
    ]
    moments = later if plan.ready_at is None else [*later, plan.ready_at]
    return claims, SlotUse(len(claims), min(moments, default=None))


def rest_of_batches(session: Session, expired: Sequence[WebhookDelivery]) -> list[WebhookDelivery]:
    """Return the other members under way of the batches that some belong to: all are reclaimed together."""
    batches = {each.batch_id for each in expired if each.batch_id is not None}
    ids = {each.id for each in expired}
    return [
        each
        for each in _in_batches(session)
        if each.batch_id in batches and each.status is DeliveryStatus.SENDING and each.id not in ids
    ]


def fresh_batches(
    session: Session,
    made: Sequence[WebhookDelivery],
    *,
    claim: Callable[[WebhookDelivery], Claim],
    most: int,
    room: Callable[[UUID], int],
) -> list[Claim]:
    """Claim whole batches of what was just made, ``most`` of them, as far as their endpoints have ``room``."""
    claims: list[Claim] = []
    for key in dict.fromkeys(each.webhook_id for each in made):
        webhook = session.tables.webhooks[key]
        if not leases_batches(webhook, health_of(session, key)):
            continue
        own = [_waiting(session, each) for each in made if each.webhook_id == key and not each.forced]
        for group in fresh_groups(own, webhook)[: min(room(key), most - len(claims))]:
            batch = replace(begun(group, uuid4(), webhook), created_at=session.now())
            session.tables.batches[batch.id] = batch
            claims.append(_claimed(session, batch, claim))
    return claims


def singly(session: Session, settlements: Sequence[Settlement]) -> list[Settlement]:
    """Return the settlements, one for each delivery, those of batches that have succeeded as a whole among them."""
    found: list[Settlement] = []
    for each in settlements:
        if not isinstance(each, WholeSuccess):
            found.append(each)
            continue
        rows = (session.tables.deliveries.get(UUID(key)) for key in each.together)
        found += [each.of(row) for row in rows if row is not None]
    return found


def without_erased_answers(session: Session, settlements: Sequence[Settlement]) -> list[Settlement]:
    """Return the settlements, without the answers to batches of which a member was erased: they may repeat it."""
    own = (session.tables.deliveries.get(each.delivery.id) for each in settlements if each.batch_id is not None)
    erased = {each.batch_id for each in own if each is not None and each.error_message == ERASED.message}
    return [
        replace(each, delivery=each.delivery._replace(response_body=None)) if each.batch_id in erased else each
        for each in settlements
    ]


def _live(session: Session, slot: OwnSlot) -> list[Batch]:
    """Return the batches that are due; dissolve those of which a member has gone another way."""
    own = [each for each in _in_batches(session) if each.webhook_id == slot.webhook.id]
    due = sorted((each for each in own if _is_due(each, slot.now)), key=lambda each: (_due_at(each), each.id))
    live = []
    for key in dict.fromkeys(cast("UUID", each.batch_id) for each in due):
        members = [each for each in own if each.batch_id == key]
        if any(each.status is DeliveryStatus.SENDING for each in members):
            continue
        batch = session.tables.batches.get(key)
        if batch is None or is_missing_members(batch, left={each.id for each in members}):
            session.tables.deliveries.update({each.id: without_batch(each, NO_LIMIT) for each in members})
        else:
            live.append(batch)
    return live


def _claimed(session: Session, batch: Batch, claim: Callable[[WebhookDelivery], Claim]) -> Claim:
    deliveries = session.tables.deliveries
    claims = {}
    for key in batch.members:
        claimed = claim(deliveries[key]._replace(batch_id=batch.id))
        deliveries[key] = claimed.delivery._replace(rendering=batch.rendering.stored)
        facts = None if batch.rendering.stored is None else _facts(session, claimed.delivery)
        claims[key] = replace(claimed, delivery=deliveries[key], facts=facts)
    contents = {key: _facts(session, claims[key].delivery) for key in batch.members}
    return cast("Claim", assembled(batch, claims, contents))


def _facts(session: Session, delivery: WebhookDelivery) -> EventFacts:
    return EventFacts.of(session.tables.events[delivery.event_id])


def _waiting(session: Session, delivery: WebhookDelivery) -> Waiting:
    event = session.tables.events[delivery.event_id]
    return Waiting(
        delivery_id=delivery.id,
        created_at=cast("datetime", delivery.created_at),
        payload_bytes=len(event.payload),
        budget_used=delivery.budget_used,
        interruptions=delivery.interruptions,
        rendering=fixed_rendering(delivery),
        limit=delivery.batch_limit,
        has_passed=delivery.passes_filter is True,
        targeted=event.target_webhook_id is not None,
        meeting_id=event.meeting_id,
    )


def _in_batches(session: Session) -> list[WebhookDelivery]:
    """Return what waits or is under way as part of a batch."""
    in_hand = (DeliveryStatus.PENDING, DeliveryStatus.SENDING)
    return [each for each in session.tables.deliveries.values() if each.batch_id is not None and each.status in in_hand]


def _is_fresh(delivery: WebhookDelivery, now: datetime) -> bool:
    return delivery.batch_id is None and _due_at(delivery) <= now


def _is_due(delivery: WebhookDelivery, now: datetime) -> bool:
    return delivery.status is DeliveryStatus.PENDING and _due_at(delivery) <= now


def _due_at(pending: WebhookDelivery) -> datetime:
    return cast("datetime", pending.next_attempt_at)
