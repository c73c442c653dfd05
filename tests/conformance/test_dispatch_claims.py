"""What is claimed as it is made: the same deliveries as a claim right after would take, each once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.health.scheduling import BURST
from noteflow_hooks.domain.health.state import HealthRules
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


def test_beside_what_is_held_the_rest_is_claimed(world: World) -> None:
    """One endpoint's limit is no other's: its delivery waits for its slot, and nobody waits with it."""
    limited, [first] = a_subscribed(world, rate_limit_per_s=1.0)
    free, [second] = a_subscribed(world)
    made = dispatch(world, first, second)
    assert [each.webhook for each in made.claims] == [free]
    assert (made.delivery_ids, made.throttled) == ((), True)
    with world.units() as unit:
        [held] = unit.deliveries.get_by_event(first)
    assert (held.webhook_id, held.held) == (limited.id, True)
    [claim] = world.deliveries.claim_throttled(limit=9, slow=False, lease_slack=SLACK)
    assert claim.delivery.id == held.id


def test_nobody_is_woken_for_a_slot_that_is_yet_to_come(world: World) -> None:
    """What is for an endpoint whose breaker is open waits for its probe; a look before that would find nothing."""
    world = replace(world, deliveries=world.ruled(HealthRules(breaker_failures=1)))
    webhook, [first] = a_subscribed(world)
    [claim] = dispatch(world, first).claims
    world.settle(claim, an_attempt_result(status_code=500, error_kind=ErrorKind.STATUS, error_message="HTTP 500"))
    made = dispatch(world, world.event(webhook.workspace_id).id)
    assert (made.claims, made.delivery_ids, made.throttled) == ((), (), False)


def test_a_flood_is_held_beyond_the_burst_and_its_first_ones_are_claimed(world: World) -> None:
    """Of 53 events for one endpoint 50 are claimed as they are made, and three wait for its slots."""
    _, events = a_subscribed(world, events=BURST + 3)
    made = dispatch(world, *events, claim=99)
    assert (len(made.claims), made.delivery_ids, made.throttled) == (BURST, (), True)
    assert len(world.deliveries.claim_throttled(limit=9, slow=False, lease_slack=SLACK)) == 3


def test_a_round_takes_as_many_events_as_it_is_told(world: World) -> None:
    """The named one, and others up to that number; what is left is more."""
    _, events = a_subscribed(world, events=4)
    made = world.deliveries.dispatch(events[3:], limit=100, events=2, claim=9, lease_slack=SLACK)
    assert {each.delivery.event_id for each in made.claims} == {events[3], events[0]}
    assert (made.events, made.more) == (2, True)


def test_a_round_that_ends_with_an_event_leaves_it_behind(world: World) -> None:
    """As many deliveries as the limit allows finish their events, and the next one is not begun."""
    _, events = a_subscribed(world, events=3)
    made = dispatch(world, *events, claim=2)
    assert made.events == 3
    _, others = a_subscribed(world, events=3)
    cut = world.deliveries.dispatch(others, limit=2, claim=2, lease_slack=SLACK)
    assert (len(cut.claims), cut.delivery_ids, cut.events, cut.more) == (2, (), 2, True)
    assert world.deliveries.undispatched(older_than=timedelta(0), limit=9) == others[2:]


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
