"""Erasing an event's payload in memory, with all that may repeat it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from noteflow_hooks.domain.deliveries import DeliveryStatus

if TYPE_CHECKING:
    from noteflow_hooks.domain.events import Event
    from noteflow_hooks.persistence.memory.store import Session

_NOTHING: Final = b"{}"


def erase(session: Session, event: Event) -> int:
    """Erase the event's payload and what receivers answered; return how many deliveries waited and are skipped."""
    tables, now = session.tables, session.now()
    dispatched_at = now if event.dispatched_at is None else event.dispatched_at
    tables.events[event.id] = replace(event, payload=_NOTHING, payload_erased_at=now, dispatched_at=dispatched_at)
    own = [each for each in tables.deliveries.values() if each.event_id == event.id]
    for each in own:
        tables.deliveries[each.id] = each.erased()
        kept = tables.attempts.get(each.id, ())
        tables.attempts[each.id] = tuple(replace(attempt, response_body=None) for attempt in kept)
    return sum(each.status is DeliveryStatus.PENDING for each in own)
