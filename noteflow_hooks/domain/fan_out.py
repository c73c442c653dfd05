"""Which endpoints get an event."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, cast

from noteflow_hooks.domain.events import WebhookEventType

if TYPE_CHECKING:
    from datetime import datetime

    from noteflow_hooks.domain.events import Event
    from noteflow_hooks.domain.webhooks import WebhookConfig

#: The types that tell of one endpoint's trouble to the workspace's other endpoints.
_ABOUT_AN_ENDPOINT: Final = frozenset({WebhookEventType.WEBHOOK_FAILING, WebhookEventType.WEBHOOK_DISABLED})


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
