"""The fan-out in memory: which endpoints get an event, in pages where there are many."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

from noteflow_hooks.domain.deliveries import DISABLED, DeliveryStatus, WebhookDelivery
from noteflow_hooks.domain.events import WebhookEventType
from noteflow_hooks.domain.health.scheduling import BURST
from noteflow_hooks.domain.ports.delivery_store import Dispatched
from noteflow_hooks.persistence.memory.health import health_of, hold
from noteflow_hooks.persistence.memory.tables import age

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from noteflow_hooks.domain.events import Event
    from noteflow_hooks.domain.webhooks import WebhookConfig
    from noteflow_hooks.persistence.memory.store import Session

#: The types that tell of one endpoint's trouble to the workspace's other endpoints.
_ABOUT_AN_ENDPOINT = frozenset({WebhookEventType.WEBHOOK_FAILING, WebhookEventType.WEBHOOK_DISABLED})


def dispatch(session: Session, event_ids: Sequence[UUID], *, limit: int) -> Dispatched:
    """Make up to ``limit`` deliveries, of the named events first; an event that nobody gets counts as one."""
    made: list[WebhookDelivery] = []
    finished = 0
    queue = _waiting(session, event_ids)
    room = limit
    for event in queue:
        if room <= 0:
            break
        page, complete = _page(session, event, limit=room)
        made += page
        finished += complete
        room -= max(len(page), 1)
    waiting = [each for each in made if each.status is DeliveryStatus.PENDING]
    held = _hold_back(session, waiting)
    lanes = {health_of(session, each.webhook_id).slow_since is not None for each in waiting if each.id in held}
    return Dispatched(
        delivery_ids=tuple(each.id for each in waiting if each.id not in held),
        events=finished,
        more=finished < len(queue),
        throttled=False in lanes,
        throttled_slow=True in lanes,
    )


def _hold_back(session: Session, made: Sequence[WebhookDelivery]) -> set[UUID]:
    """Hold what is for a gated endpoint, and what one endpoint gets beyond the burst; return their ids."""
    gated = {
        each.webhook_id: health_of(session, each.webhook_id).is_throttled(session.tables.webhooks[each.webhook_id])
        for each in made
    }
    nth: Counter[UUID] = Counter()
    held: set[UUID] = set()
    for each in made:
        nth[each.webhook_id] += 1
        if not each.forced and (gated[each.webhook_id] or nth[each.webhook_id] > BURST):
            hold(session, each)
            held.add(each.id)
    return held


def _waiting(session: Session, event_ids: Sequence[UUID]) -> list[Event]:
    """Return what is not dispatched, the named events first, then the oldest."""
    named = set(event_ids)
    waiting = (event for event in session.tables.events.values() if event.dispatched_at is None)
    return sorted(waiting, key=lambda event: (event.id not in named, age(event)))


def _page(session: Session, event: Event, *, limit: int) -> tuple[list[WebhookDelivery], bool]:
    """Make at most ``limit`` of an event's deliveries; tell whether they were the last."""
    tables = session.tables
    endpoints = _recipients(session, event)
    page = endpoints[:limit]
    had = {each.webhook_id for each in tables.deliveries.values() if each.event_id == event.id}
    made = [_delivery(session, event, webhook) for webhook in page if webhook.id not in had]
    tables.deliveries.update({each.id: each for each in made})
    complete = len(endpoints) <= limit
    if complete:
        tables.events[event.id] = replace(event, dispatched_at=session.now())
    else:
        tables.cursors[event.id] = page[-1].id
    return made, complete


def _recipients(session: Session, event: Event) -> list[WebhookConfig]:
    """Return the endpoints behind the event's cursor that get it, in the cursor's order."""
    cursor = session.tables.cursors.get(event.id)
    matching = (webhook for webhook in session.tables.webhooks.values() if _gets(webhook, event))
    behind = (webhook for webhook in matching if cursor is None or webhook.id > cursor)
    return sorted(behind, key=lambda webhook: webhook.id)


def _gets(webhook: WebhookConfig, event: Event) -> bool:
    if webhook.workspace_id != event.workspace_id or webhook.deleted_at is not None:
        return False
    if age(webhook)[0] > age(event)[0]:
        return False
    if event.target_webhook_id is not None:
        return webhook.id == event.target_webhook_id
    return webhook.subscribes_to(event.event_type) and not _is_about(event, webhook)


def _is_about(event: Event, webhook: WebhookConfig) -> bool:
    """Tell whether the event says that this very endpoint is in trouble: it is never sent to that one."""
    if event.event_type not in _ABOUT_AN_ENDPOINT:
        return False
    return bool(json.loads(event.payload).get("webhook_id") == str(webhook.id))


def _delivery(session: Session, event: Event, webhook: WebhookConfig) -> WebhookDelivery:
    now = session.now()
    waiting = WebhookDelivery(
        id=uuid4(),
        webhook_id=webhook.id,
        event_id=event.id,
        event_type=event.event_type,
        next_attempt_at=now,
        created_at=now,
        forced=event.target_webhook_id is not None,
    )
    return waiting if webhook.enabled else waiting.skipped(DISABLED)
