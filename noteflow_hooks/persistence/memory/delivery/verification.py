"""What follows in memory from an endpoint's right answer to its challenge. Its caller has begun."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noteflow_hooks.domain.audit.entries import WORKER
from noteflow_hooks.domain.audit.telling import entry_of_verification
from noteflow_hooks.domain.health.state import after_change
from noteflow_hooks.domain.ports.delivery_store import next_slots
from noteflow_hooks.domain.verification import verified
from noteflow_hooks.persistence.memory.audit import add_entries
from noteflow_hooks.persistence.memory.health import health_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from noteflow_hooks.domain.deliveries import Settlement
    from noteflow_hooks.domain.ports.delivery_store import SchedulingSlot
    from noteflow_hooks.persistence.memory.store import Session


def verify(session: Session, settlements: Iterable[Settlement]) -> list[SchedulingSlot]:
    """Mark endpoints as verified that have given their challenge back; return their next slots.

    An answer counts only while the endpoint is still asked with that very challenge.
    """
    return [slot for each in settlements if each.verifies for slot in _verify(session, each)]


def _verify(session: Session, settlement: Settlement) -> list[SchedulingSlot]:
    before, now = session.tables.webhooks[settlement.delivery.webhook_id], session.now()
    challenge = before.verification.challenge
    if before.deleted_at is not None or challenge is None or challenge.event_id != settlement.delivery.event_id:
        return []
    after = verified(before, now=now)
    session.tables.webhooks[before.id] = after
    add_entries(session, [entry_of_verification(WORKER, before, after)])
    health = after_change(health_of(session, before.id), before, after, now=now)
    session.tables.health[before.id] = health
    return next_slots([health], now=now)
