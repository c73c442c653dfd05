"""The endpoints' health in memory: who has a scheduling slot, and what results change. Its caller has begun."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast
from uuid import UUID, uuid4

from noteflow_hooks.domain.audit.telling import entry_of_disabling
from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.health import load
from noteflow_hooks.domain.health.circuit_breaker import apply_results, transition_event
from noteflow_hooks.domain.health.news import news_of
from noteflow_hooks.domain.health.scheduling import ENDPOINTS_PER_CLAIM, STALLED_AFTER
from noteflow_hooks.domain.health.slots import OwnSlot, deal_out, has_slot, in_fair_order
from noteflow_hooks.domain.mails import mail_about
from noteflow_hooks.domain.ports.delivery_store import next_slots
from noteflow_hooks.domain.settling import results_of
from noteflow_hooks.domain.skipping import skip_by_system
from noteflow_hooks.persistence.memory.audit import add_entries, note_breaker
from noteflow_hooks.persistence.memory.delivery.batching import is_batched
from noteflow_hooks.persistence.memory.health import health_of, skip_waiting, wake
from noteflow_hooks.persistence.memory.mails import add_mail

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from noteflow_hooks.domain.deliveries import Settlement, WebhookDelivery
    from noteflow_hooks.domain.health.circuit_breaker import HealthTransition
    from noteflow_hooks.domain.health.news import HealthNews
    from noteflow_hooks.domain.health.state import EndpointHealth, HealthRules
    from noteflow_hooks.domain.ports.delivery_store import SchedulingSlot
    from noteflow_hooks.domain.webhooks import WebhookConfig
    from noteflow_hooks.persistence.memory.store import Session


def in_flight(session: Session, webhook_id: UUID) -> int:
    """Return how many POSTs to an endpoint count as in flight."""
    stored = session.tables.deliveries.values()
    sending = _posts(each for each in stored if each.webhook_id == webhook_id and each.status is DeliveryStatus.SENDING)
    return load.in_flight(
        session.tables.webhooks[webhook_id],
        health_of(session, webhook_id),
        posts=len(sending),
        stalled=sum(session.tables.claimed_at[each] < session.now() - STALLED_AFTER for each in sending),
    )


def _posts(sending: Iterable[WebhookDelivery]) -> list[UUID]:
    """Return a delivery of each POST: a batch is one."""
    return list({each.batch_id if each.batch_id is not None else each.id: each.id for each in sending}.values())


def with_slots(session: Session, *, slow: bool) -> list[EndpointHealth]:
    """Return the endpoints of a lane that have a slot now: every workspace's first one, then every one's second."""
    now = session.now()
    due = (each for each in session.tables.health.values() if has_slot(each, slow=slow, now=now))
    return in_fair_order(
        sorted(due, key=_turn_at), owner=lambda each: session.tables.webhooks[each.webhook_id].workspace_id
    )


def own_slots(session: Session, *, limit: int, slow: bool, rules: HealthRules) -> list[OwnSlot]:
    """Deal out ``limit`` places among the endpoints that have a slot now."""
    due = with_slots(session, slow=slow)[: min(ENDPOINTS_PER_CLAIM, limit)]
    endpoints = [(session.tables.webhooks[each.webhook_id], each, in_flight(session, each.webhook_id)) for each in due]
    batched = {each.webhook_id for each in due if is_batched(session, each.webhook_id)}
    return deal_out(endpoints, limit=limit, now=session.now(), rules=rules, batched=batched)


def give_missing_slots(session: Session) -> None:
    """Give a slot to endpoints that have throttled deliveries and no slot."""
    for each in session.tables.deliveries.values():
        webhook = session.tables.webhooks[each.webhook_id]
        if each.held and load.may_have_slot(webhook):
            wake(session, each.webhook_id)


def apply(
    session: Session, settlements: Sequence[Settlement], *, rules: HealthRules
) -> tuple[list[SchedulingSlot], list[UUID], list[HealthNews]]:
    """Store what the results change of their endpoints' health, and what follows from that.

    Return the endpoints' next slots, the events that tell other endpoints of it, and what an operator is to read.
    """
    event_ids: list[UUID] = []
    news: list[HealthNews] = []
    changed: list[EndpointHealth] = []
    for webhook_id in dict.fromkeys(each.delivery.webhook_id for each in settlements):
        webhook, before = session.tables.webhooks[webhook_id], health_of(session, webhook_id)
        after, transition = apply_results(
            before, webhook, results_of(settlements, webhook_id), now=session.now(), rules=rules
        )
        if after != before:
            session.tables.health[webhook_id] = after
            changed.append(after)
            if after.is_open != before.is_open:
                note_breaker(session, webhook, is_open=after.is_open)
        news += news_of(before, after, webhook, transition)
        if transition is not None:
            event_ids += _follow(session, webhook, transition, tells=rules.tells)
    return next_slots(changed, now=session.now()), event_ids, news


def _follow(session: Session, webhook: WebhookConfig, transition: HealthTransition, *, tells: bool) -> list[UUID]:
    """Disable the endpoint where the transition says so, and record the event; return its id."""
    if transition.disables:
        disabled = replace(webhook, enabled=False, disabled_reason=transition.reason, updated_at=session.now())
        session.tables.webhooks[webhook.id] = disabled
        skip_waiting(session, webhook.id, skip_by_system(transition.reason))
        add_entries(session, [entry_of_disabling(webhook, transition.reason, is_gone=transition.is_gone)])
    if not tells:
        return []
    add_mail(session, mail_about(webhook, transition.mail_kind, transition.reason))
    event = transition_event(uuid4(), webhook, transition.event_type, transition.reason, now=session.now())
    session.tables.events[event.id] = replace(event, created_at=session.now())
    return [event.id]


def _turn_at(health: EndpointHealth) -> datetime:
    return cast("datetime", health.turn_at)
