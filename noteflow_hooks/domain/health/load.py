"""What an endpoint has in flight, and whether it may be claimed from at once or only in its scheduling slots."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from noteflow_hooks.domain.health.scheduling import BURST, STALLED_LIMIT
from noteflow_hooks.domain.health.state import cap

if TYPE_CHECKING:
    from noteflow_hooks.domain.health.state import EndpointHealth, HealthRules
    from noteflow_hooks.domain.webhooks import WebhookConfig


def in_flight(webhook: WebhookConfig, health: EndpointHealth, *, posts: int, stalled: int) -> int:
    """Return how many POSTs count as in flight: the largest number there is, where too many of them have stalled.

    An endpoint with a cap of its own, or in the slow lane, is limited by its cap alone.
    """
    may_stall = webhook.max_concurrency is not None or health.slow_since is not None
    return posts if may_stall or stalled < STALLED_LIMIT else sys.maxsize


def claimable_at_once(webhook: WebhookConfig, health: EndpointHealth, *, in_flight: int, rules: HealthRules) -> int:
    """Return how many of an endpoint's due deliveries may be claimed outside its scheduling slots."""
    if not webhook.is_active:
        # Its deliveries are skipped, which needs no room.
        return sys.maxsize
    return 0 if health.is_throttled(webhook) else max(0, cap(health, webhook, rules) - in_flight)


def leases_batches(webhook: WebhookConfig, health: EndpointHealth) -> bool:
    """Tell whether whole batches of an endpoint may go as they are dispatched, as far as there is room.

    Nothing throttles it but that its deliveries go in batches. What waits has its slots beside that, and once it has
    found no room in one, it comes first.
    """
    marks = (health.open_until, health.slow_since, health.ramp, webhook.keeps_back_since, webhook.rate_per_s)
    is_free = webhook.is_active and not health.awaiting_room and all(each is None for each in marks)
    return is_free and bool(webhook.options.batch_max) and not webhook.options.is_ordered


def is_throttled_from_the_start(
    webhook: WebhookConfig, health: EndpointHealth, *, nth: int, forced: bool, burst: int = BURST
) -> bool:
    """Tell whether a new delivery is throttled; it is its endpoint's ``nth`` in a round of dispatching, from 1."""
    return webhook.is_active and not forced and (health.is_throttled(webhook) or nth > burst)


def may_have_slot(webhook: WebhookConfig) -> bool:
    """Tell whether an endpoint can have a slot: one that is paused or not verified gets none until that is over."""
    return webhook.keeps_back_since is None or not webhook.is_active


def is_merely_flooded(webhook: WebhookConfig, health: EndpointHealth) -> bool:
    """Tell whether only the number of its deliveries throttles an endpoint, so that only its cap counts."""
    marks = (health.open_until, health.probing_until, health.ramp, webhook.keeps_back_since, webhook.rate_per_s)
    return webhook.is_active and not webhook.options.is_scheduled and all(each is None for each in marks)
