"""Claims in memory in the slots of endpoints that get a meeting's events in order; every walk begins anew."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.ordering import LOOK_AGAIN, MeetingOrder, Step, Walked, blocked, is_blocked, offered, ordered
from noteflow_hooks.persistence.memory.health import throttled_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from uuid import UUID

    from noteflow_hooks.domain.deliveries import WebhookDelivery
    from noteflow_hooks.domain.health.slots import OwnSlot
    from noteflow_hooks.domain.webhooks import WebhookConfig
    from noteflow_hooks.persistence.memory.store import Session
    from noteflow_hooks.persistence.memory.tables import Tables


@dataclass(slots=True)
class Chosen:
    """What a slot claims, and when the endpoint is to be looked at again."""

    deliveries: list[WebhookDelivery] = field(default_factory=list)
    again_at: datetime | None = None


def choose(session: Session, slot: OwnSlot) -> Chosen:
    """Return what may go of an endpoint that keeps an order, as it is on record now, and block the rest."""
    chosen = Chosen()
    # Those due longest first, whether they stand in an order or not; of a meeting, it is its first one that counts.
    waiting = sorted(throttled_of(session, slot.webhook.id), key=_due_at)
    seen: set[str] = set()
    for each in waiting if slot.share else ():
        meeting_id = _meeting_of(session, each)
        if meeting_id is None and len(chosen.deliveries) < slot.share:
            chosen.deliveries.append(each)
        elif meeting_id is not None and meeting_id not in seen:
            seen.add(meeting_id)
            _choose_of(session, slot, meeting_id, chosen)
    return chosen


def _due_at(delivery: WebhookDelivery) -> datetime:
    """Return since when it is due, or would be if it had not to wait for earlier ones."""
    return cast("datetime", offered(delivery).next_attempt_at)


def walked(tables: Tables, webhook: WebhookConfig, meeting_id: str) -> Walked:
    """Return how far an endpoint is with a meeting."""
    order = MeetingOrder(sent=sent_of(tables, webhook, meeting_id))
    return order.walked(_steps(tables, webhook, meeting_id), webhook.options.on_dead)


def sent_of(tables: Tables, webhook: WebhookConfig, meeting_id: str) -> int:
    """Return the highest number of the meeting that was sent to the endpoint."""
    sent = (
        each.sequence
        for each in _steps(tables, webhook, meeting_id)
        if each.attempt_count or each.status is DeliveryStatus.SENDING
    )
    return max(sent, default=0)


def holds(tables: Tables, delivery: WebhookDelivery) -> bool:
    """Tell whether it is dead and holds later ones of its meeting."""
    webhook, meeting_id = tables.webhooks[delivery.webhook_id], delivery.ordered_meeting
    if meeting_id is None or not webhook.options.is_ordered or delivery.status is not DeliveryStatus.DEAD:
        return False
    others = (each for each in tables.deliveries.values() if each.webhook_id == webhook.id and is_blocked(each))
    is_waited_for = any(each.ordered_meeting == meeting_id for each in others)
    return is_waited_for and walked(tables, webhook, meeting_id).order.stopped_by == delivery.id


def _choose_of(session: Session, slot: OwnSlot, meeting_id: str, chosen: Chosen) -> None:
    found = walked(session.tables, slot.webhook, meeting_id)
    step = found.head if found.head is not None else found.blocker
    is_full = not slot.is_batched and len(chosen.deliveries) >= slot.share
    if step is None or (found.head is not None and is_full):
        return
    if step.delivery_id is None:
        chosen.again_at = slot.now + LOOK_AGAIN
    else:
        marked = ordered(session.tables.deliveries[step.delivery_id], meeting_id, step.sequence)
        session.tables.deliveries[marked.id] = marked
        if found.head is not None:
            head = _ranked(marked, found.order, step)
            chosen.deliveries.append(head)
            if slot.is_batched:
                # It is taken into a batch, which are made of what is due, in the same slot.
                session.tables.deliveries[head.id] = offered(head)
    for each in throttled_of(session, slot.webhook.id):
        event = session.tables.events[each.event_id]
        is_other = each.id != step.delivery_id and each.batch_id is None
        if event.meeting_id == meeting_id and event.sequence is not None and is_other:
            session.tables.deliveries[each.id] = blocked(ordered(each, meeting_id, event.sequence))


def _ranked(delivery: WebhookDelivery, order: MeetingOrder, step: Step) -> WebhookDelivery:
    """Return it with what its request tells; a gap is told as it was at the first claim."""
    rank = order.rank(step)
    gap = rank.gap if delivery.gap is None else delivery.gap
    is_late = rank.is_late if delivery.out_of_order is None else delivery.out_of_order
    return delivery._replace(gap=gap, out_of_order=is_late)


def _meeting_of(session: Session, delivery: WebhookDelivery) -> str | None:
    event = session.tables.events[delivery.event_id]
    return None if event.sequence is None else event.meeting_id


def _steps(tables: Tables, webhook: WebhookConfig, meeting_id: str) -> Iterator[Step]:
    own = (each for each in tables.deliveries.values() if each.webhook_id == webhook.id)
    deliveries: dict[UUID, WebhookDelivery] = {each.event_id: each for each in own}
    about = webhook.workspace_id, meeting_id
    events = [
        (each.sequence, each)
        for each in tables.events.values()
        if (each.workspace_id, each.meeting_id) == about and each.sequence is not None
    ]
    for sequence, event in sorted(events, key=lambda each: each[0]):
        is_dispatched, delivery = event.dispatched_at is not None, deliveries.get(event.id)
        if delivery is None:
            yield Step(sequence, event.id, is_dispatched)
            continue
        yield Step(
            sequence,
            event.id,
            is_dispatched,
            delivery.id,
            delivery.status,
            delivery.skip_reason,
            delivery.attempt_count,
            is_claimable=delivery.held and not delivery.forced and delivery.batch_id is None,
            is_marked=delivery.ordered_meeting is not None,
        )
