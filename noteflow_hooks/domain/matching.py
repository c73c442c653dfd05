"""Which deliveries, events, endpoints and meetings match a filter, a replay, or the list of the undelivered."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.health.endpoint_state import state_of
from noteflow_hooks.domain.skipping import SkipReason
from noteflow_hooks.domain.urls import host_of

if TYPE_CHECKING:
    from datetime import datetime

    from noteflow_hooks.domain.deliveries import WebhookDelivery
    from noteflow_hooks.domain.events import Event
    from noteflow_hooks.domain.health.state import EndpointHealth
    from noteflow_hooks.domain.meetings import Meeting
    from noteflow_hooks.domain.paging import DeliveryFilter, EventFilter, MeetingFilter, WebhookFilter
    from noteflow_hooks.domain.replays import Replay
    from noteflow_hooks.domain.webhooks import WebhookConfig


def meets(delivery: WebhookDelivery, criteria: DeliveryFilter, *, meeting_id: str | None) -> bool:
    """Tell whether a stored delivery matches the filter; ``meeting_id`` is its event's."""
    wanted = criteria.wanted
    return (
        (not wanted or delivery.status in wanted)
        and criteria.throttled in (None, delivery.held and delivery.status is DeliveryStatus.PENDING)
        and _meets_but_for_status(delivery, meeting_id, criteria)
    )


def is_listed(event: Event, criteria: EventFilter) -> bool:
    """Tell whether a stored event matches the filter."""
    return criteria.meeting_id in (None, event.meeting_id) and _narrowed(event, criteria)


def is_undelivered(delivery: WebhookDelivery, criteria: DeliveryFilter) -> bool:
    """Tell whether a stored delivery belongs to the undelivered: of a filter only endpoint, type and time count.

    What its endpoint's filter holds back does not.
    """
    is_owed = delivery.status is not DeliveryStatus.SUCCEEDED and delivery.skip_reason is not SkipReason.FILTERED
    return is_owed and _meets_kind(delivery, criteria)


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
        and _meets_but_for_status(delivery, event.meeting_id, replay.criteria)
    )


def is_in_state(webhook: WebhookConfig, health: EndpointHealth, criteria: WebhookFilter) -> bool:
    """Tell whether a stored endpoint matches the filter."""
    text = None if criteria.text is None else criteria.text.lower()
    return criteria.state in (None, state_of(webhook, health)) and (
        text is None or text in webhook.name.lower() or text in host_of(webhook.url)
    )


def is_met(meeting: Meeting, criteria: MeetingFilter) -> bool:
    """Tell whether a stored meeting matches the filter."""
    text = None if criteria.text is None else criteria.text.lower()
    return (
        criteria.state in (None, meeting.state)
        and (text is None or text in (meeting.title or "").lower())
        and _within(meeting.created_at, criteria)
    )


def _meets_but_for_status(delivery: WebhookDelivery, meeting_id: str | None, criteria: DeliveryFilter) -> bool:
    return (
        _meets_kind(delivery, criteria)
        and criteria.event_id in (None, delivery.event_id)
        and criteria.meeting_id in (None, meeting_id)
        and criteria.error_kind in (None, delivery.error_kind)
        and criteria.status_code in (None, delivery.status_code)
        and criteria.skip_reason in (None, delivery.skip_reason)
        and (criteria.ids is None or delivery.id in criteria.ids)
    )


def _meets_kind(delivery: WebhookDelivery, criteria: DeliveryFilter) -> bool:
    return criteria.webhook_id in (None, delivery.webhook_id) and _narrowed(delivery, criteria)


def _narrowed(row: WebhookDelivery | Event, criteria: DeliveryFilter | EventFilter) -> bool:
    """Tell whether a row meets the criteria that deliveries and events both have: type and time."""
    return criteria.event_type in (None, row.event_type) and _within(cast("datetime", row.created_at), criteria)


def _within(created_at: datetime, criteria: DeliveryFilter | EventFilter | MeetingFilter) -> bool:
    return (criteria.created_after is None or criteria.created_after <= created_at) and (
        criteria.created_before is None or created_at < criteria.created_before
    )
