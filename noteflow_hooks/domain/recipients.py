"""Why an endpoint has no delivery of an event, as far as the two can tell afterwards."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from noteflow_hooks.domain.events import WebhookEventType

if TYPE_CHECKING:
    from noteflow_hooks.domain.events import Event
    from noteflow_hooks.domain.webhooks import WebhookConfig

_ABOUT_AN_ENDPOINT: Final = frozenset({WebhookEventType.WEBHOOK_FAILING, WebhookEventType.WEBHOOK_DISABLED})


class NotSent(StrEnum):
    """Why an event was not sent to an endpoint."""

    #: The endpoint came later.
    CREATED_AFTER_EVENT = "created_after_event"
    #: The event says how this very endpoint does, and is never sent to it.
    OWN_TROUBLE = "own_trouble"
    #: It did not subscribe to the type when the event was matched, or the event was meant for another one alone.
    NOT_SUBSCRIBED = "not_subscribed"


def why_not_sent(event: Event, webhook: WebhookConfig) -> NotSent:
    """Return why an event that was matched with its endpoints has no delivery to this one; both are stored."""
    if webhook.created_at is not None and event.created_at is not None and webhook.created_at > event.created_at:
        return NotSent.CREATED_AFTER_EVENT
    return NotSent.OWN_TROUBLE if _is_about(event, webhook) else NotSent.NOT_SUBSCRIBED


def _is_about(event: Event, webhook: WebhookConfig) -> bool:
    if event.event_type not in _ABOUT_AN_ENDPOINT or event.payload_erased_at is not None:
        return False
    return bool(json.loads(event.payload).get("webhook_id") == str(webhook.id))
