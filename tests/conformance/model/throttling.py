"""The steps of tests about endpoints that are throttled."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from noteflow_hooks.domain.deliveries import Settlement
from tests.conformance.model.world import SLACK
from tests.support.builders import EXACT, a_failure, an_event, hours

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from noteflow_hooks.domain.deliveries import AttemptResult, Claim
    from noteflow_hooks.domain.ports.delivery_store import Claimed, Settled
    from noteflow_hooks.domain.webhooks import WebhookConfig
    from tests.conformance.model.world import World

MINUTE = timedelta(minutes=1)


def endpoint(world: World, **overrides: Any) -> WebhookConfig:  # noqa: ANN401 - an endpoint's fields
    """Store an endpoint of a workspace of its own."""
    return world.webhook(world.workspace(), **overrides)


def dispatch(world: World, webhook: WebhookConfig, count: int = 1) -> list[UUID]:
    """Store so many events for an endpoint and return its new deliveries, those that are held too, oldest first."""
    with world.units() as unit:
        events = [unit.events.append(an_event(workspace_id=webhook.workspace_id)) for _ in range(count)]
        unit.commit()
    while world.deliveries.dispatch([each.id for each in events], limit=100_000).more:
        pass
    with world.units() as unit:
        return [unit.deliveries.get_by_event(each.id)[0].id for each in events]


def claim(world: World, ids: Sequence[UUID] = (), *, limit: int = 500, slack: timedelta = SLACK) -> Claimed:
    """Claim what is due."""
    return world.deliveries.claim(ids, limit=limit, lease_slack=slack)


def claim_slots(world: World, *, limit: int = 500, slow: bool = False) -> list[Claim]:
    """Claim in the scheduling slots that there are now."""
    return list(world.deliveries.claim_throttled(limit=limit, slow=slow, lease_slack=SLACK))


def settle(world: World, claims: Sequence[Claim], result: AttemptResult) -> Settled:
    """Settle claims, all with this result."""
    settlements = []
    for each in claims:
        after, wait = each.delivery.attempted(result, max_retries=20, policy=EXACT, draw=0.5)
        settlements.append(Settlement(after, wait=wait and hours(9), attempt=result))
    return world.deliveries.settle(settlements)


def fail(world: World, webhook: WebhookConfig, count: int) -> Settled:
    """Have so many of an endpoint's attempts fail, together."""
    ids = dispatch(world, webhook, count)
    return settle(world, list(claim(world, ids, limit=count)), a_failure())


def open_breaker(world: World, webhook: WebhookConfig) -> None:
    """Have as many attempts fail as open the breaker of the fixture ``breaking``."""
    fail(world, webhook, 3)
