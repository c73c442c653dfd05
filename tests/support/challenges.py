"""The challenge that an endpoint is verified by, as the executor is handed it."""

from __future__ import annotations

from datetime import UTC, datetime

from noteflow_hooks.domain.deliveries import Claim
from noteflow_hooks.domain.verification import as_asked, registered, verification_event
from tests.support.builders import a_delivery, a_webhook


def a_challenge(url: str, secret: str) -> Claim:
    """Return one for an endpoint there."""
    now = datetime.now(UTC)
    webhook = registered(a_webhook(url=url, secret=secret), now=now)
    assert webhook.verification.challenge is not None
    event = verification_event(webhook, webhook.verification.challenge, now=now)
    fields = {"webhook_id": webhook.id, "event_id": event.id, "event_type": event.event_type}
    return as_asked(Claim(a_delivery(**fields), webhook, event.payload, targeted=True))
