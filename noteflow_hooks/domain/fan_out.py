"""Which endpoints get an event, and why others do not."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Final, cast

from noteflow_hooks.domain.events import WebhookEventType

if TYPE_CHECKING:
    from datetime import datetime

    from noteflow_hooks.domain.events import Event
    from noteflow_hooks.domain.webhooks import WebhookConfig

#: The types that tell of one endpoint's trouble to the workspace's other endpoints.
_ABOUT_AN_ENDPOINT: Final = frozenset(
    {
        WebhookEventType.WEBHOOK_CERTIFICATE_EXPIRING,
        WebhookEventType.WEBHOOK_DISABLED,
        WebhookEventType.WEBHOOK_FAILING,
    }
)


class NotSent(StrEnum):
    """Why an event was not sent to an endpoint."""

    #: The endpoint is newer than the event.
    CREATED_AFTER_EVENT = "created_after_event"
    #: The event reports trouble of this very endpoint, which is never sent it.
    OWN_TROUBLE = "own_trouble"
    #: It did not subscribe to the type when the event was matched, or the event was for another endpoint only.
    NOT_SUBSCRIBED = "not_subscribed"


def why_not_sent(event: Event, webhook: WebhookConfig) -> NotSent:
    """Return why an event that was matched with its endpoints has no delivery to this one; both are stored."""
    if cast("datetime", webhook.created_at) > cast("datetime", event.created_at):
        return NotSent.CREATED_AFTER_EVENT
    # An erased payload no longer tells which endpoint it was about.
    if event.payload_erased_at is None and _is_about(event, webhook):
        return NotSent.OWN_TROUBLE
    return NotSent.NOT_SUBSCRIBED


def receives(webhook: WebhookConfig, event: Event) -> bool:
    """Tell whether a stored endpoint gets a stored event: it must not be newer than the event.

    A disabled endpoint gets a delivery too, which is skipped.
    """
    if webhook.workspace_id != event.workspace_id or webhook.deleted_at is not None:
        return False
    if cast("datetime", webhook.created_at) > cast("datetime", event.created_at):
        return False
    if event.target_webhook_id is not None:
        return webhook.id == event.target_webhook_id and not _is_about(event, webhook)
    return webhook.subscribes_to(event.event_type) and not _is_about(event, webhook)


def _is_about(event: Event, webhook: WebhookConfig) -> bool:
    """Tell whether the event reports trouble of this very endpoint, which is never sent it."""
    if event.event_type not in _ABOUT_AN_ENDPOINT:
        return False
    return bool(json.loads(event.payload).get("webhook_id") == str(webhook.id))
