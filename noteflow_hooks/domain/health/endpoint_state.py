"""What state an endpoint is in, in the one word that people see: what they have done to it goes before how it does."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from noteflow_hooks.domain.health.state import EndpointHealth
    from noteflow_hooks.domain.webhooks import WebhookConfig


class EndpointState(StrEnum):
    """The states; an endpoint is in one of them."""

    #: Nothing is sent to it: a person has switched it off, or the system.
    DISABLED = "disabled"
    #: Its deliveries wait until a person lets it resume.
    PAUSED = "paused"
    #: Those of its health, while it is neither disabled nor paused.
    CIRCUIT_OPEN = "circuit_open"
    FAILING = "failing"
    RECOVERING = "recovering"
    SLOW = "slow"
    HEALTHY = "healthy"


def state_of(webhook: WebhookConfig, health: EndpointHealth) -> EndpointState:
    """Return the endpoint's state."""
    if not webhook.enabled:
        return EndpointState.DISABLED
    return EndpointState.PAUSED if webhook.paused_at is not None else EndpointState(health.state)
