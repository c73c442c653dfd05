"""Which deliveries and events match a filter, a replay, or the list of the undelivered."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.skipping import SkipReason

if TYPE_CHECKING:
    from datetime import datetime

    from noteflow_hooks.domain.deliveries import WebhookDelivery
    from noteflow_hooks.domain.events import Event
    from noteflow_hooks.domain.paging import DeliveryFilter, EventFilter
    from noteflow_hooks.domain.replays import Replay
    from noteflow_hooks.domain.webhooks import WebhookConfig


def meets(delivery: WebhookDelivery, criteria: DeliveryFilter) -> bool:
    """Tell whether a stored delivery matches the filter."""
    return criteria.status in (None, delivery.status) and _meets_but_for_status(delivery, criteria)


def is_listed(event: Event, criteria: EventFilter) -> bool:
    """Tell whether a stored event matches the filter."""
    return criteria.meeting_id in (None, event.meeting_id) and _narrowed(event, criteria)


def is_undelivered(delivery: WebhookDelivery, criteria: DeliveryFilter) -> bool:
    """Tell whether a stored delivery belongs to the undelivered, whatever status the filter names.

    What its endpoint's filter holds back does not.
    """
    is_owed = delivery.status is not DeliveryStatus.SUCCEEDED and delivery.skip_reason is not SkipReason.FILTERED
    return is_owed and _meets_but_for_status(delivery, criteria)


def is_unmatched(event: Event, criteria: DeliveryFilter) -> bool:
    """Tell whether a stored event belongs to the undelivered, since it waits to be matched with endpoints."""
    return event.dispatched_at is None and criteria.webhook_id is None and _narrowed(event, criteria)


def is_sent_again(replay: Replay, delivery: WebhookDelivery, webhook: WebhookConfig, event: Event) -> bool:
    """Tell whether a stored delivery is one that the replay sends again, wherever its cursor stands."""
    return (
        event.workspace_id == replay.workspace_id
        and delivery.status in replay.statuses
        and (replay.takes_filtered or delivery.skip_reason is not SkipReason.FILTERED)
        and event.payload_erased_at is None
        and webhook.is_active
        and not delivery.asks_to_verify
        and _meets_but_for_status(delivery, replay.criteria)
    )


def _meets_but_for_status(delivery: WebhookDelivery, criteria: DeliveryFilter) -> bool:
    return criteria.webhook_id in (None, delivery.webhook_id) and _narrowed(delivery, criteria)


def _narrowed(row: WebhookDelivery | Event, criteria: DeliveryFilter | EventFilter) -> bool:
    """Tell whether a row meets the criteria that deliveries and events both have: type and time."""
    created_at = cast("datetime", row.created_at)
    return (
        criteria.event_type in (None, row.event_type)
        and (criteria.created_after is None or criteria.created_after <= created_at)
        and (criteria.created_before is None or created_at < criteria.created_before)
    )
