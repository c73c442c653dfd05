"""The steps of tests about replays."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from noteflow_hooks.domain.paging import DeliveryFilter
from noteflow_hooks.domain.replays import Replay
from tests.support.builders import a_failure, an_attempt_result

if TYPE_CHECKING:
    from uuid import UUID

    from noteflow_hooks.domain.deliveries import DeliveryStatus, WebhookDelivery
    from noteflow_hooks.domain.replays import Redelivery
    from noteflow_hooks.domain.webhooks import WebhookConfig
    from tests.conformance.model.world import World

SECOND = timedelta(seconds=1)
TICK = timedelta(microseconds=1)
#: As fast as replays go: what is there is made due in one step.
FAST = 10_000.0


def begin(
    world: World,
    workspace_id: UUID,
    *,
    rate_per_s: float = FAST,
    include_filtered: bool = False,
    **criteria: Any,  # noqa: ANN401 - the filter's fields
) -> Replay:
    """Store a replay."""
    with world.units() as unit:
        asked = Replay.create(
            workspace_id, DeliveryFilter(**criteria), rate_per_s=rate_per_s, include_filtered=include_filtered
        )
        stored = unit.replays.create(asked)
        unit.commit()
    return stored


def step(world: World, *, limit: int = 100) -> int | None:
    """Take the next step, of a time at which there is one again."""
    world.age(SECOND)
    return step_now(world, limit=limit)


def step_now(world: World, *, limit: int = 100) -> int | None:
    """Take the next step, where there is one now."""
    with world.units() as unit:
        sent = unit.replays.advance(limit=limit)
        unit.commit()
    return sent


def read(world: World, replay: Replay) -> Replay:
    """Return a replay as it is stored."""
    with world.units() as unit:
        found = unit.replays.get(replay.workspace_id, replay.id)
    assert found is not None
    return found


def redeliveries(world: World, delivery: WebhookDelivery) -> list[Redelivery]:
    """Return each time that a delivery was sent again."""
    with world.units() as unit:
        return list(unit.deliveries.redeliveries(delivery.id))


def settled(world: World, webhook: WebhookConfig, *, ok: bool = False) -> WebhookDelivery:
    """Store an event whose delivery to the endpoint succeeds, or dies of one attempt."""
    made = world.dispatched(world.event(webhook.workspace_id))
    [delivery] = [each for each in made if each.webhook_id == webhook.id]
    result = an_attempt_result() if ok else a_failure()
    assert world.settle(world.claim(delivery.id), result)
    return world.read(webhook.workspace_id, delivery.id)


def endpoint(world: World, workspace_id: UUID | None = None, **overrides: Any) -> WebhookConfig:  # noqa: ANN401 - an endpoint's fields
    """Store an endpoint that gets one attempt."""
    owner = workspace_id if workspace_id is not None else world.workspace()
    return world.webhook(owner, max_retries=1, **overrides)


def status_of(world: World, delivery: WebhookDelivery, webhook: WebhookConfig) -> DeliveryStatus:
    """Return a delivery's status."""
    return world.read(webhook.workspace_id, delivery.id).status
