"""Why a delivery is not delivered, in words for an operator; worked out from the present state, never stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.skipping import skip_of_disabled

if TYPE_CHECKING:
    from datetime import datetime

    from noteflow_hooks.domain.deliveries import WebhookDelivery
    from noteflow_hooks.domain.health.state import EndpointHealth
    from noteflow_hooks.domain.webhooks import WebhookConfig

#: The reason for an event that was not turned into deliveries yet.
UNDISPATCHED: Final = "Waits to be matched with the workspace's endpoints"


def explain(delivery: WebhookDelivery, webhook: WebhookConfig, health: EndpointHealth, *, now: datetime) -> str | None:
    """Return why the delivery is not delivered, or None where it is."""
    match delivery.status:
        case DeliveryStatus.SUCCEEDED:
            return None
        case DeliveryStatus.DEAD | DeliveryStatus.SKIPPED:
            return delivery.error_message or delivery.status.value
        case DeliveryStatus.SENDING:
            return "An attempt is under way"
        case DeliveryStatus.PENDING:
            return _waiting(delivery, webhook, health, now) + _last_failure(delivery)


def _waiting(delivery: WebhookDelivery, webhook: WebhookConfig, health: EndpointHealth, now: datetime) -> str:
    if not webhook.is_active:
        return f"{skip_of_disabled(webhook).message}; it will be skipped"
    if delivery.forced:
        return "Due, as was asked for; waits for a worker"
    if webhook.keeps_back_since is not None:
        return _kept_back(webhook)
    if health.open_until is not None:
        return _circuit(health, now)
    if delivery.next_attempt_at is not None and delivery.next_attempt_at > now:
        return f"Waits for its next attempt at {_text(delivery.next_attempt_at)}"
    return _throttled(webhook, health) if delivery.held else "Due; waits for a worker"


def _kept_back(webhook: WebhookConfig) -> str:
    since = webhook.verification.unverified_since
    if since is not None:
        return f"The endpoint is not verified: it owes an answer since {_text(since)}; `webhooks verify` asks it anew"
    return f"The endpoint is paused since {_text(webhook.keeps_back_since)}; it goes out when that resumes"


def _circuit(health: EndpointHealth, now: datetime) -> str:
    opened = f"The endpoint's circuit breaker is open after {health.failures} failed attempts in a row"
    if health.open_until is not None and now < health.open_until:
        return f"{opened}; the next probe is sent at {_text(health.open_until)}"
    return f"{opened}; a probe decides"


def _throttled(webhook: WebhookConfig, health: EndpointHealth) -> str:
    if health.ramp is not None:
        return "The endpoint has just recovered; its backlog is sent gently"
    if webhook.rate_per_s is not None:
        return f"Waits for its turn: the endpoint's rate limit is {webhook.rate_per_s:g} a second"
    if health.slow_since is not None:
        return f"Waits for its turn: the endpoint is slow since {_text(health.slow_since)}"
    return "Waits for its turn: the endpoint has as many requests under way as it may have"


def _last_failure(delivery: WebhookDelivery) -> str:
    return f". Last attempt: {delivery.error_message}" if delivery.attempt_count and delivery.error_message else ""


def _text(moment: datetime | None) -> str:
    return "" if moment is None else moment.strftime("%Y-%m-%d %H:%M:%S UTC")
