"""The steps of tests about endpoints with batches."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from noteflow_hooks.domain.batches import BatchClaim
from noteflow_hooks.domain.options import EndpointOptions
from tests.conformance.model.throttling import claim, claim_slots, endpoint
from tests.support.builders import EXACT, an_attempt_result

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from noteflow_hooks.domain.deliveries import AttemptResult, Claim, WebhookDelivery
    from noteflow_hooks.domain.ports.delivery_store import Settled
    from noteflow_hooks.domain.webhooks import WebhookConfig
    from tests.conformance.model.world import World

SUCCESS = an_attempt_result()
NOW = timedelta(0)


def batched(
    world: World,
    *,
    batch_max: int = 3,
    wait_ms: int = 0,
    partial: bool = False,
    **other: Any,  # noqa: ANN401 - an endpoint's fields
) -> WebhookConfig:
    """Store an endpoint with batches."""
    options = EndpointOptions(batch_max=batch_max, batch_wait_ms=wait_ms, batch_partial=partial)
    return endpoint(world, **{"options": options, "max_retries": 20, **other})


def batches(claims: Sequence[Claim]) -> list[BatchClaim]:
    """Return the claims, all of which are of batches."""
    found = [each for each in claims if isinstance(each, BatchClaim)]
    assert len(found) == len(claims)
    return found


def taken(world: World, **kwargs: Any) -> list[BatchClaim]:  # noqa: ANN401 - what a claim takes
    return batches(claim_slots(world, **kwargs))


def members(batch: BatchClaim) -> list[UUID]:
    return [each.delivery.id for each in batch.members]


def end(world: World, batch: BatchClaim, result: AttemptResult | None, *, wait: timedelta | None = NOW) -> Settled:
    """Settle a batch as a worker does, with ``wait`` in place of the policy's where it is not None."""
    settlements = batch.settlements(result, policy=EXACT, draw=lambda: 0.5)
    if wait is not None:
        settlements = [each if each.wait is None else replace(each, wait=wait) for each in settlements]
    return world.deliveries.settle(settlements)


def stored(world: World, batch: BatchClaim) -> list[WebhookDelivery]:
    return [world.read(batch.webhook.workspace_id, key) for key in members(batch)]


def redeemed(world: World) -> list[BatchClaim]:
    """Claim what was in a batch that is dissolved: it is held once it is due, and goes in a slot."""
    assert list(claim(world)) == []
    return taken(world)


def erase(world: World, workspace_id: UUID, meeting_id: str) -> None:
    """Erase a meeting's payloads."""
    with world.units() as unit:
        unit.events.erase_meeting(workspace_id, meeting_id)
        unit.commit()
