"""The endpoints' health in memory: whose turn it is, and what results say. Works in its caller's transaction."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast
from uuid import UUID, uuid4

from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.health.circuit_breaker import apply_results, transition_event
from noteflow_hooks.domain.health.scheduling import (
    ENDPOINTS_PER_CLAIM,
    STALLED_AFTER,
    STALLED_LIMIT,
    after_slot,
    allowed_now,
    fair_shares,
)
from noteflow_hooks.domain.ports.delivery_store import SchedulingSlot
from noteflow_hooks.persistence.memory.health import health_of, skip_waiting, wake

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from noteflow_hooks.domain.deliveries import Settlement
    from noteflow_hooks.domain.health.circuit_breaker import HealthTransition
    from noteflow_hooks.domain.health.state import EndpointHealth, HealthRules
    from noteflow_hooks.domain.webhooks import WebhookConfig
    from noteflow_hooks.persistence.memory.store import Session


@dataclass(frozen=True, slots=True)
class OwnTurn:
    """An endpoint whose turn it is."""

    webhook: WebhookConfig
    health: EndpointHealth
    room: int
    #: How many of its deliveries may be claimed in this turn.
    given: int


def in_flight(session: Session, webhook_id: UUID) -> int:
    """Return how many POSTs to an endpoint are under way, and no end of them where too many lag."""
    stored = session.tables.deliveries.values()
    sending = [each.id for each in stored if each.webhook_id == webhook_id and each.status is DeliveryStatus.SENDING]
    stalled = sum(session.tables.claimed_at[each] < session.now() - STALLED_AFTER for each in sending)
    may_stall = session.tables.webhooks[webhook_id].max_concurrency is not None
    may_stall = may_stall or health_of(session, webhook_id).slow_since is not None
    return len(sending) if may_stall or stalled < STALLED_LIMIT else sys.maxsize


def turning(session: Session, *, slow: bool) -> list[EndpointHealth]:
    """Return the endpoints of a lane whose turn it is: every workspace's first one, then every one's second."""
    now = session.now()
    due = [each for each in session.tables.health.values() if each.turn_at is not None and each.turn_at <= now]
    nth: Counter[UUID] = Counter()
    ranked: list[tuple[int, EndpointHealth]] = []
    for each in sorted((each for each in due if (each.slow_since is not None) == slow), key=_turn):
        workspace_id = session.tables.webhooks[each.webhook_id].workspace_id
        nth[workspace_id] += 1
        ranked.append((nth[workspace_id], each))
    return [each for _, each in sorted(ranked, key=lambda ranking: ranking[0])]


def dealt(session: Session, *, limit: int, slow: bool, rules: HealthRules) -> list[OwnTurn]:
    """Deal out ``limit`` places among the endpoints whose turn it is."""
    due = turning(session, slow=slow)[: min(ENDPOINTS_PER_CLAIM, limit)]
    found = [(session.tables.webhooks[each.webhook_id], each) for each in due]
    rooms = [
        allowed_now(health, webhook, in_flight=in_flight(session, webhook.id), now=session.now(), rules=rules)
        for webhook, health in found
    ]
    given = fair_shares(rooms, limit=limit)
    return [OwnTurn(*each, room, share) for each, room, share in zip(found, rooms, given, strict=True)]


def note_turn(session: Session, turn: OwnTurn, *, claimed: int, lease_slack: timedelta) -> None:
    """Store what a turn leaves behind."""
    session.tables.health[turn.webhook.id] = after_slot(
        turn.health,
        turn.webhook,
        room=turn.room,
        share=turn.given,
        claimed=claimed,
        now=session.now(),
        lease=timedelta(milliseconds=turn.webhook.timeout_ms) + lease_slack,
    )


def next_turns(session: Session, webhook_ids: Iterable[UUID]) -> list[SchedulingSlot]:
    """Return when these endpoints have their next turn."""
    healths = (health_of(session, webhook_id) for webhook_id in webhook_ids)
    return [
        SchedulingSlot(wait=max(timedelta(0), each.turn_at - session.now()), slow=each.slow_since is not None)
        for each in healths
        if each.turn_at is not None
    ]


def remember(session: Session) -> None:
    """Give a turn to endpoints that have held deliveries and none."""
    for each in session.tables.deliveries.values():
        webhook = session.tables.webhooks[each.webhook_id]
        if each.held and (webhook.paused_at is None or not webhook.is_active):
            wake(session, each.webhook_id)


def judge(
    session: Session, settlements: Sequence[Settlement], *, rules: HealthRules
) -> tuple[list[SchedulingSlot], list[UUID]]:
    """Store what the results say of their endpoints; return their next turns and the events that tell of trouble."""
    event_ids: list[UUID] = []
    changed: list[UUID] = []
    for webhook_id in dict.fromkeys(each.delivery.webhook_id for each in settlements):
        webhook, before = session.tables.webhooks[webhook_id], health_of(session, webhook_id)
        own = (each for each in settlements if each.delivery.webhook_id == webhook_id)
        results = [each.attempt for each in own if each.attempt is not None]
        after, trouble = apply_results(before, webhook, results, now=session.now(), rules=rules)
        if after != before:
            session.tables.health[webhook_id] = after
            changed.append(webhook_id)
        if trouble is not None:
            event_ids += _tell(session, webhook, trouble, tells=rules.tells)
    return next_turns(session, changed), event_ids


def _tell(session: Session, webhook: WebhookConfig, trouble: HealthTransition, *, tells: bool) -> list[UUID]:
    if trouble.disables:
        disabled = replace(webhook, enabled=False, disabled_reason=trouble.reason, updated_at=session.now())
        session.tables.webhooks[webhook.id] = disabled
        skip_waiting(session, webhook.id, trouble.reason)
    if not tells:
        return []
    event = transition_event(uuid4(), webhook, trouble.event_type, trouble.reason, now=session.now())
    session.tables.events[event.id] = replace(event, created_at=session.now())
    return [event.id]


def _turn(health: EndpointHealth) -> datetime:
    return cast("datetime", health.turn_at)
