"""Erasing an event's payload in memory, with all that may repeat it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from noteflow_hooks.domain.deliveries import DeliveryStatus

if TYPE_CHECKING:
    from collections.abc import Collection

    from noteflow_hooks.domain.attempts import WebhookAttempt
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
        tables.attempts[each.id] = tuple(map(_without_answer, kept))
    return sum(each.status is DeliveryStatus.PENDING for each in own)


def erase_answers_to_batches(session: Session, events: Collection[Event]) -> None:
    """Erase what receivers answered to batches with one of these events: it may repeat all of a batch's events."""
    tables, ids = session.tables, {each.id for each in events}
    own = [each.id for each in tables.deliveries.values() if each.event_id in ids]
    batches = {attempt.batch_id for key in own for attempt in tables.attempts.get(key, ())} - {None}
    for key, kept in list(tables.attempts.items()):
        if any(each.batch_id in batches for each in kept):
            tables.deliveries[key] = tables.deliveries[key]._replace(response_body=None)
            tables.attempts[key] = tuple(_without_answer(each) if each.batch_id in batches else each for each in kept)


def _without_answer(attempt: WebhookAttempt) -> WebhookAttempt:
    return replace(attempt, response_body=None, response_headers=())
