"""What is claimed as it is made: the same deliveries as a claim right after would take, each once."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from noteflow_hooks.domain.deliveries import DeliveryStatus
from tests.conformance.model.world import EXPIRED, SLACK
from tests.conformance.test_concurrency import at_once
from tests.support.builders import an_attempt_result

if TYPE_CHECKING:
    from uuid import UUID

    from noteflow_hooks.domain.ports.delivery_store import Dispatched
    from noteflow_hooks.domain.webhooks import WebhookConfig
    from tests.conformance.model.world import World


def dispatch(world: World, *events: UUID, claim: int = 9, slack: timedelta = SLACK) -> Dispatched:
    return world.deliveries.dispatch(events, limit=100, claim=claim, lease_slack=slack)


def a_subscribed(
    world: World,
    *,
    events: int = 1,
    **overrides: Any,  # noqa: ANN401 - an endpoint's fields
) -> tuple[WebhookConfig, list[UUID]]:
    """Store an endpoint and events for it."""
    webhook = world.webhook(world.workspace(), **overrides)
    return webhook, [world.event(webhook.workspace_id).id for _ in range(events)]


def test_an_event_s_deliveries_are_claimed_as_they_are_made(world: World) -> None:
    """They are this worker's, with all that their POSTs need, and nobody else's."""
    webhook, [event_id] = a_subscribed(world, timeout_ms=5000)
    before = world.deliveries.now()
    made = dispatch(world, event_id)
    [claim] = made.claims
    assert (made.delivery_ids, made.events, made.more) == ((), 1, False)
    assert (claim.webhook, claim.delivery.event_id, claim.targeted) == (webhook, event_id, False)
    stored = world.read(webhook.workspace_id, claim.delivery.id)
    assert (stored.status, stored.claim_no, stored.next_attempt_at) == (DeliveryStatus.SENDING, 1, None)
    assert stored.lease_expires_at is not None
    until = timedelta(seconds=5) + SLACK
    assert before + until <= stored.lease_expires_at <= world.deliveries.now() + until
    assert len(world.deliveries.claim([claim.delivery.id], limit=9, lease_slack=SLACK)) == 0
    assert world.settle(claim, an_attempt_result())
    assert [each.attempt_number for each in world.attempts(claim.delivery.id)] == [1]


def test_what_its_worker_died_with_is_taken_back(world: World) -> None:
    """As with any other claim, after its lease."""
    webhook, [event_id] = a_subscribed(world)
    [claim] = dispatch(world, event_id, slack=EXPIRED).claims
    assert world.deliveries.reclaim_expired(limit=9) == 1
    stored = world.read(webhook.workspace_id, claim.delivery.id)
    assert (stored.status, stored.interruptions) == (DeliveryStatus.PENDING, 1)


def test_no_more_are_claimed_than_there_is_room_for(world: World) -> None:
    """Of three deliveries two are; the third is due, and its id is told."""
    _, events = a_subscribed(world, events=3)
    made = dispatch(world, *events, claim=2)
    assert (len(made.claims), len(made.delivery_ids)) == (2, 1)
    [last] = world.deliveries.claim([], limit=9, lease_slack=SLACK)
    assert made.delivery_ids == (last.delivery.id,)


def test_the_endpoint_s_cap_is_kept(world: World) -> None:
    """What it has no room for is left as it is, and held by the claim that comes by."""
    webhook, events = a_subscribed(world, events=3, max_concurrency=1)
    made = dispatch(world, *events)
    assert (len(made.claims), len(made.delivery_ids)) == (1, 2)
    assert not any(world.read(webhook.workspace_id, each).held for each in made.delivery_ids)
    claimed = world.deliveries.claim(made.delivery_ids, limit=9, lease_slack=SLACK)
    assert (len(claimed), claimed.throttled) == (0, 2)


def test_what_must_wait_or_may_not_go_is_not_claimed(world: World) -> None:
    """A paused endpoint's is held for its turn, and a disabled one's is skipped."""
    paused, [first] = a_subscribed(world, paused_at=world.deliveries.now())
    _, [second] = a_subscribed(world, enabled=False)
    made = dispatch(world, first, second)
    assert (made.claims, made.delivery_ids, made.throttled) == ((), (), True)
    with world.units() as unit:
        [held], [skipped] = (unit.deliveries.get_by_event(each) for each in (first, second))
    assert (held.webhook_id, held.held, skipped.status) == (paused.id, True, DeliveryStatus.SKIPPED)


def test_beside_what_is_held_nothing_is_claimed(world: World) -> None:
    """Turns wait for endpoints that others have locked, and claims of them must wait for nobody meanwhile."""
    _, [first] = a_subscribed(world, rate_limit_per_s=1.0)
    _, [second] = a_subscribed(world)
    made = dispatch(world, first, second)
    assert (made.claims, len(made.delivery_ids), made.throttled) == ((), 1, True)


def test_many_at_once_claim_each_delivery_once_and_keep_the_cap(world: World) -> None:
    """Ten workers over the same events: one cap, and nothing twice."""
    webhook, events = a_subscribed(world, events=8, max_concurrency=5)
    rounds = at_once(10, lambda number: dispatch(world, events[number % 8], claim=1))
    claimed = [each.delivery.id for made in rounds for each in made.claims]
    assert len(claimed) == len(set(claimed)) <= 5
    with world.units() as unit:
        stored = [each for event_id in events for each in unit.deliveries.get_by_event(event_id)]
    assert len(stored) == 8
    assert {each.id for each in stored if each.status is DeliveryStatus.SENDING} == set(claimed)
    assert {each.webhook_id for each in stored} == {webhook.id}
