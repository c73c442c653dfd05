"""Why a delivery is not delivered, in words for an operator; worked out from the present state, never stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.filters import UNAVAILABLE
from noteflow_hooks.domain.ordering import is_blocked
from noteflow_hooks.domain.skipping import skip_of_disabled

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from noteflow_hooks.domain.deliveries import WebhookDelivery
    from noteflow_hooks.domain.health.state import EndpointHealth
    from noteflow_hooks.domain.webhooks import WebhookConfig

#: The reason for what a dead one holds.
_STOPPED: Final = (
    "order_stopped: delivery {dead} of the same meeting is dead, and the endpoint's on_dead is stop;"
    " it goes out once that one is sent again or skipped"
)
#: The reason for an event that was not turned into deliveries yet.
UNDISPATCHED: Final = "Waits to be matched with the workspace's endpoints"


def explain(
    delivery: WebhookDelivery,
    webhook: WebhookConfig,
    health: EndpointHealth,
    *,
    now: datetime,
    stopped_by: UUID | None = None,
) -> str | None:
    """Return why the delivery is not delivered, or None where it is.

    ``stopped_by`` is the dead one of its meeting that holds it, where one does.
    """
    if stopped_by is not None and is_blocked(delivery) and webhook.is_active:
        return _STOPPED.format(dead=stopped_by)
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
    if delivery.next_attempt_at is not None and delivery.next_attempt_at > now and not is_blocked(delivery):
        return _next_attempt(delivery, delivery.next_attempt_at)
    return _throttled(delivery, webhook, health) if delivery.held else "Due; waits for a worker"


def _next_attempt(delivery: WebhookDelivery, moment: datetime) -> str:
    if delivery.error_message == UNAVAILABLE:
        return f"{UNAVAILABLE}; asked again at {_text(moment)}"
    return f"Waits for its next attempt at {_text(moment)}"


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


def _throttled(delivery: WebhookDelivery, webhook: WebhookConfig, health: EndpointHealth) -> str:
    if is_blocked(delivery):
        return "Waits for an earlier event of its meeting"
    if health.ramp is not None:
        return "The endpoint has just recovered; its backlog is sent gently"
    if health.gathering and health.turn_at is not None:
        return f"Waits for others of its batch, until {_text(health.turn_at)}"
    if webhook.rate_per_s is not None:
        return f"Waits for its turn: the endpoint's rate limit is {webhook.rate_per_s:g} a second"
    if health.slow_since is not None:
        return f"Waits for its turn: the endpoint is slow since {_text(health.slow_since)}"
    return "Waits for its turn: the endpoint has as many requests under way as it may have"


def _last_failure(delivery: WebhookDelivery) -> str:
    has_failed = delivery.attempt_count and delivery.error_message and delivery.error_message != UNAVAILABLE
    return f". Last attempt: {delivery.error_message}" if has_failed else ""


def _text(moment: datetime | None) -> str:
    return "" if moment is None else moment.strftime("%Y-%m-%d %H:%M:%S UTC")
