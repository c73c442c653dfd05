"""The fan-out in memory: which endpoints get an event, in pages where there are many."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

from noteflow_hooks.domain.deliveries import DeliveryStatus, WebhookDelivery
from noteflow_hooks.domain.fan_out import receives
from noteflow_hooks.domain.health.load import is_throttled_from_the_start
from noteflow_hooks.domain.health.scheduling import BURST, is_awaited
from noteflow_hooks.domain.ports.delivery_store import Dispatched
from noteflow_hooks.domain.skipping import skip_at_dispatch
from noteflow_hooks.persistence.memory.health import health_of, throttle, throttled_of
from noteflow_hooks.persistence.memory.tables import age

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from uuid import UUID

    from noteflow_hooks.domain.events import Event
    from noteflow_hooks.domain.health.state import EndpointHealth
    from noteflow_hooks.domain.webhooks import WebhookConfig
    from noteflow_hooks.persistence.memory.store import Session


def dispatch(
    session: Session,
    event_ids: Sequence[UUID],
    *,
    limit: int,
    events: int,
    lease: Callable[[Sequence[WebhookDelivery]], None] | None = None,
) -> Dispatched:
    """Make up to ``limit`` deliveries, of ``events`` events, the named ones first; one that nobody gets counts too.

    ``lease`` claims some of them before the rest is throttled.
    """
    made: list[WebhookDelivery] = []
    finished = 0
    queue = _waiting(session, event_ids)
    room = limit
    # The named ones are never too many.
    for event in queue[: max(events, len(set(event_ids)))]:
        if room <= 0:
            break
        page, complete = _page(session, event, limit=room)
        made += page
        finished += complete
        room -= max(len(page), 1)
    if lease is not None:
        lease([each for each in made if each.status is DeliveryStatus.PENDING])
    stored = (session.tables.deliveries[each.id] for each in made)
    waiting = [each for each in stored if each.status is DeliveryStatus.PENDING]
    throttled = _throttle(session, waiting)
    healths = [health_of(session, each.webhook_id) for each in waiting if each.id in throttled]
    now = session.now()
    lanes = {each.slow_since is not None for each in healths if each.turn_at is None or each.turn_at <= now}
    return Dispatched(
        delivery_ids=tuple(each.id for each in waiting if each.id not in throttled),
        events=finished,
        more=finished < len(queue),
        throttled=False in lanes,
        throttled_slow=True in lanes,
        batched=any(session.tables.webhooks[each.webhook_id].options.batch_max for each in made),
    )


def _throttle(session: Session, made: Sequence[WebhookDelivery]) -> set[UUID]:
    """Throttle what is for a throttled endpoint, and what one endpoint gets beyond the burst; return their ids."""
    before = {each.webhook_id: health_of(session, each.webhook_id) for each in made}
    nth: Counter[UUID] = Counter()
    throttled: set[UUID] = set()
    for each in made:
        nth[each.webhook_id] += 1
        webhook = session.tables.webhooks[each.webhook_id]
        if is_throttled_from_the_start(
            webhook, before[each.webhook_id], nth=nth[each.webhook_id], forced=each.forced, burst=BURST
        ):
            throttle(session, each)
            throttled.add(each.id)
    _leave_gathering(session, before)
    return throttled


def _leave_gathering(session: Session, before: Mapping[UUID, EndpointHealth]) -> None:
    """Let the slots be later that are to come for a batch, where what was made here doesn't change that."""
    now = session.now()
    for key, health in before.items():
        webhook = session.tables.webhooks[key]
        gathered = [each for each in throttled_of(session, key) if each.batch_id is None]
        if health.gathering and not is_awaited(health, webhook, gathered=len(gathered), now=now):
            session.tables.health[key] = health


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
    matching = (webhook for webhook in session.tables.webhooks.values() if receives(webhook, event))
    behind = (webhook for webhook in matching if cursor is None or webhook.id > cursor)
    return sorted(behind, key=lambda webhook: webhook.id)


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
    return waiting if webhook.enabled else waiting.skipped(skip_at_dispatch(webhook))
