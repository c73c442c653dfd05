"""Why a delivery is not delivered, in words."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.health.reasons import explain
from noteflow_hooks.domain.health.state import EndpointHealth
from tests.support.builders import NOON, a_delivery, a_webhook

if TYPE_CHECKING:
    from noteflow_hooks.domain.deliveries import WebhookDelivery

SECOND = timedelta(seconds=1)
HELD = a_delivery(held=True)


def said(delivery: WebhookDelivery, health: dict[str, Any] | None = None, **webhook: Any) -> str | None:  # noqa: ANN401 - an endpoint's fields
    endpoint = a_webhook(id=delivery.webhook_id, **webhook)
    return explain(delivery, endpoint, EndpointHealth(endpoint.id, **(health or {})), now=NOON)


def test_what_was_delivered_needs_no_reason() -> None:
    """A success has none."""
    assert said(a_delivery(status=DeliveryStatus.SUCCEEDED)) is None


@pytest.mark.parametrize("status", [DeliveryStatus.DEAD, DeliveryStatus.SKIPPED])
def test_what_has_ended_says_why(status: DeliveryStatus) -> None:
    """By its own message, or by its state where it has none."""
    assert said(a_delivery(status=status, error_message="Webhook disabled")) == "Webhook disabled"
    assert said(a_delivery(status=status)) == status


@pytest.mark.parametrize(
    ("delivery", "health", "webhook", "words"),
    [
        (a_delivery(status=DeliveryStatus.SENDING), {}, {}, "An attempt is under way"),
        (a_delivery(), {}, {}, "Due; waits for a worker"),
        (a_delivery(next_attempt_at=NOON + SECOND), {}, {}, "Waits for its next attempt at 2024-01-31 12:00:01 UTC"),
        (HELD, {}, {"enabled": False}, "Webhook disabled; it will be skipped"),
        (HELD, {}, {"enabled": False, "disabled_reason": "Gone"}, "Gone; it will be skipped"),
        (HELD, {}, {"paused_at": NOON}, "The endpoint is paused since 2024-01-31 12:00:00 UTC; it goes out when"),
        (HELD._replace(held=False, forced=True), {}, {"paused_at": NOON}, "Due, as was asked for"),
        (
            HELD,
            {"open_until": NOON + SECOND, "failures": 20},
            {},
            "breaker is open after 20 failed attempts in a row; the",
        ),
        (HELD, {"open_until": NOON, "failures": 20}, {}, "a probe decides"),
        (HELD, {"ramp": 2}, {}, "has just recovered"),
        (HELD, {"slow_since": NOON}, {}, "the endpoint is slow since 2024-01-31 12:00:00 UTC"),
        (HELD, {}, {"rate_limit_per_s": 0.5}, "the endpoint's rate limit is 0.5 a second"),
        (HELD, {}, {}, "as many requests under way as it may have"),
    ],
)
def test_what_waits_says_for_what(
    delivery: WebhookDelivery, health: dict[str, Any], webhook: dict[str, Any], words: str
) -> None:
    """Each thing that holds a delivery back has its own words."""
    assert words in (said(delivery, health, **webhook) or "")


def test_the_last_failure_is_told_too() -> None:
    """Behind what it waits for."""
    waiting = a_delivery(next_attempt_at=NOON + SECOND, attempt_count=1, error_message="HTTP 500")
    assert said(waiting) == "Waits for its next attempt at 2024-01-31 12:00:01 UTC. Last attempt: HTTP 500"
