"""The roll-ups in memory: what was counted, and what is not counted yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from noteflow_hooks.domain.deliveries import FINAL_STATUSES, DeliveryStatus
from noteflow_hooks.domain.events import CUSTOM, is_custom
from noteflow_hooks.domain.stats import HOUR, MINUTE, NO_KIND, Count, Measure, attempt_counts, down, end_counts
from noteflow_hooks.persistence.memory.tables import Rolled, age

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime, timedelta
    from uuid import UUID

    from noteflow_hooks.domain.attempts import WebhookAttempt
    from noteflow_hooks.domain.deliveries import WebhookDelivery
    from noteflow_hooks.persistence.memory.store import Session
    from noteflow_hooks.persistence.memory.tables import RollupKey, Tables

COUNTED_TO: Final = "counted_to"


def roll_up(session: Session) -> datetime:
    """Count what is not counted yet; return up to when everything is."""
    _count_events(session.tables)
    _count_attempts(session.tables)
    _count_ended(session)
    now = session.tables.counted_to[COUNTED_TO] = session.now()
    return now


def _count_events(tables: Tables) -> None:
    for each in [each for each in tables.events.values() if each.id not in tables.counted]:
        tables.counted[each.id] = True
        count = Count(Measure.EVENT, NO_KIND, 0, 1, 0)
        _add(tables, (each.workspace_id, None), each.event_type, age(each)[0], count)


def _count_attempts(tables: Tables) -> None:
    for delivery_id, attempts in list(tables.attempts.items()):
        delivery = tables.deliveries[delivery_id]
        for each in [each for each in attempts if each.id not in tables.counted]:
            tables.counted[each.id] = True
            counts = attempt_counts(each, latency=_latency(tables, delivery))
            _add_all(tables, delivery, tables.recorded_at[each.id], counts)
            _note(tables, each, delivery.webhook_id)


def _count_ended(session: Session) -> None:
    tables = session.tables
    for delivery in list(tables.deliveries.values()):
        lives = [*tables.ended_before.get(delivery.id, ()), delivery]
        for number, each in enumerate(lives):
            if each.status not in FINAL_STATUSES or (each.id, number) in tables.counted:
                continue
            tables.counted[each.id, number] = True
            if each.status is not DeliveryStatus.SUCCEEDED:
                _add_all(tables, each, session.now(), end_counts(each))


def _latency(tables: Tables, delivery: WebhookDelivery) -> timedelta | None:
    if delivery.delivered_at is None or tables.redeliveries.get(delivery.id):
        return None
    return delivery.delivered_at - age(tables.events[delivery.event_id])[0]


def _note(tables: Tables, attempt: WebhookAttempt, webhook_id: UUID) -> None:
    """Note when the endpoint last took something, or did not."""
    ended_at = attempt.ended_at
    success, failure = tables.endpoint_facts.get(webhook_id, (None, None))
    if attempt.error_kind is None:
        success = max(success, ended_at) if success is not None else ended_at
    else:
        failure = max(failure, ended_at) if failure is not None else ended_at
    tables.endpoint_facts[webhook_id] = success, failure


def _add_all(tables: Tables, delivery: WebhookDelivery, at: datetime, counts: Iterable[tuple[bool, Count]]) -> None:
    workspace_id = tables.events[delivery.event_id].workspace_id
    for is_of_endpoint, each in counts:
        if is_of_endpoint:
            _add(tables, (workspace_id, delivery.webhook_id), delivery.event_type, at, each)
        _add(tables, (workspace_id, None), delivery.event_type, at, each)


def _add(tables: Tables, owner: tuple[UUID, UUID | None], event_type: str, at: datetime, each: Count) -> None:
    """Add to the minute, to the hour, and to the totals what is said of a whole workspace."""
    workspace_id, webhook_id = owner
    what = (str(each.measure), each.kind, each.bin)
    for unit in (MINUTE, HOUR):
        _put(tables, (unit, down(at, unit), workspace_id, webhook_id, event_type, *what), each)
    if webhook_id is None:
        name = CUSTOM.rstrip(".") if is_custom(event_type) else event_type
        kind = name if each.measure == Measure.EVENT else each.kind
        _put(tables, (None, None, None, None, "", str(each.measure), kind, each.bin), each)


def _put(tables: Tables, key: RollupKey, each: Count) -> None:
    before = tables.rollups.get(key, Rolled())
    tables.rollups[key] = Rolled(before.number + each.number, before.total_ms + each.total_ms)
