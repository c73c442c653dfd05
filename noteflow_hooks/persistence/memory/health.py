"""The endpoints' health in memory, and what waits for each. Works in its caller's transaction."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.health.state import EndpointHealth

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from noteflow_hooks.domain.deliveries import WebhookDelivery
    from noteflow_hooks.domain.skipping import Skip
    from noteflow_hooks.persistence.memory.store import Session


def health_of(session: Session, webhook_id: UUID) -> EndpointHealth:
    """Return an endpoint's health."""
    return session.tables.health.get(webhook_id) or EndpointHealth(webhook_id)


def throttle(session: Session, delivery: WebhookDelivery) -> None:
    """Leave a pending delivery to its endpoint's scheduling slots, and give the endpoint one unless it keeps back."""
    session.tables.deliveries[delivery.id] = delivery.throttled()
    if session.tables.webhooks[delivery.webhook_id].keeps_back_since is None:
        wake(session, delivery.webhook_id)


def wake(session: Session, webhook_id: UUID) -> None:
    """Give an endpoint a slot now unless it has one coming."""
    session.tables.health[webhook_id] = health_of(session, webhook_id).awake(now=session.now())


def wake_now(session: Session, webhook_id: UUID) -> EndpointHealth:
    """Give an endpoint a slot now, whenever its next one was to come, if it keeps an order."""
    health, now = health_of(session, webhook_id), session.now()
    if session.tables.webhooks[webhook_id].options.is_ordered:
        health = replace(health, turn_at=now if health.turn_at is None else min(health.turn_at, now))
        session.tables.health[webhook_id] = health
    return health


def throttled_of(session: Session, webhook_id: UUID) -> list[WebhookDelivery]:
    """Return an endpoint's throttled deliveries, those due longest first."""
    throttled = (each for each in session.tables.deliveries.values() if each.webhook_id == webhook_id and each.held)
    return sorted(throttled, key=lambda each: cast("datetime", each.next_attempt_at))


def skip_waiting(session: Session, webhook_id: UUID, skip: Skip) -> None:
    """Skip what waits for an endpoint."""
    for each in list(session.tables.deliveries.values()):
        if each.webhook_id == webhook_id and each.status is DeliveryStatus.PENDING:
            session.tables.deliveries[each.id] = each.skipped(skip)
