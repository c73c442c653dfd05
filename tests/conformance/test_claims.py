"""Claims: who may send a delivery, with what, and until when."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.skipping import Skip, SkipReason
from tests.conformance.model.world import EXPIRED, SLACK
from tests.support.builders import NOON, a_failure, hours

if TYPE_CHECKING:
    from uuid import UUID

    from noteflow_hooks.domain.deliveries import WebhookDelivery
    from tests.conformance.model.world import World


def several(world: World, count: int) -> list[WebhookDelivery]:
    """Make deliveries to one endpoint that are due one after another."""
    workspace_id = world.workspace()
    world.webhook(workspace_id)
    return [world.dispatched(world.event(workspace_id))[0] for _ in range(count)]


def claimed(world: World, delivery_ids: list[UUID], limit: int) -> set[UUID]:
    claims = world.deliveries.claim(delivery_ids, limit=limit, lease_slack=SLACK)
    return {claim.delivery.id for claim in claims}


def test_a_claim_holds_the_delivery(world: World) -> None:
    """A claimed delivery is stored as sending, under a higher claim number, due no more."""
    workspace_id = world.workspace()
    delivery = world.delivery(workspace_id)
    claim = world.claim(delivery.id)
    held = claim.delivery
    assert world.read(workspace_id, delivery.id) == held
    assert (held.status, held.claim_no, held.next_attempt_at) == (DeliveryStatus.SENDING, 1, None)
    assert world.deliveries.due(overdue_by=timedelta(0), limit=9) == []
    assert held._replace(status=DeliveryStatus.PENDING, claim_no=0, lease_expires_at=None) == delivery._replace(
        next_attempt_at=None
    )


def test_a_lease_is_the_endpoints_timeout_and_the_slack(world: World) -> None:
    """A worker has the whole exchange's time and the slack before it loses the delivery."""
    delivery = world.delivery(world.workspace(), timeout_ms=30_000)
    before = datetime.now(UTC)
    claim = world.claim(delivery.id, slack=hours(1))
    after = datetime.now(UTC)
    lease = timedelta(hours=1, seconds=30)
    assert claim.delivery.lease_expires_at is not None
    assert before + lease <= claim.delivery.lease_expires_at <= after + lease


def test_a_claim_has_what_the_post_needs(world: World) -> None:
    """The endpoint as it is now, the secrets readable, and the event's payload come with the claim."""
    workspace_id = world.workspace()
    webhook = world.webhook(workspace_id, secret="a-first-secret")
    event = world.event(workspace_id)
    [delivery] = world.dispatched(event)
    changed = world.change(
        replace(
            webhook,
            url="https://elsewhere.example/",
            secret="a-second-secret",
            previous_secret="a-first-secret",
            previous_secret_expires_at=NOON,
        )
    )
    claim = world.claim(delivery.id)
    assert claim.webhook == changed
    assert (claim.payload, claim.targeted) == (event.payload, False)


def test_a_claim_shows_what_speaks_against_sending(world: World) -> None:
    """An endpoint that has unsubscribed since the dispatch is seen with the claim."""
    [delivery] = several(world, 1)
    with world.units() as unit:
        webhook = unit.webhooks.get_by_id(delivery.webhook_id)
    assert webhook is not None
    world.change(replace(webhook, events=()))
    assert world.claim(delivery.id).reason_to_skip() == Skip(
        "Event meeting.completed not subscribed", SkipReason.NOT_SUBSCRIBED
    )


def test_a_held_delivery_is_not_claimed_again(world: World) -> None:
    """A doubled wake-up finds nothing, even past the lease: only the sweep reclaims a delivery."""
    [delivery] = several(world, 1)
    world.claim(delivery.id, slack=EXPIRED)
    assert claimed(world, [delivery.id, delivery.id], 9) == set()


def test_a_named_delivery_twice_is_claimed_once(world: World) -> None:
    """An id that a message names twice makes one claim."""
    [delivery] = several(world, 1)
    claims = world.deliveries.claim([delivery.id, delivery.id], limit=9, lease_slack=SLACK)
    assert [claim.delivery.claim_no for claim in claims] == [1]


def test_named_deliveries_come_first(world: World) -> None:
    """The named ones are taken before others that have waited longer."""
    first, second, third = (each.id for each in several(world, 3))
    assert claimed(world, [third], 1) == {third}
    assert claimed(world, [second, uuid4()], 2) == {first, second}


def test_a_claim_tops_up_with_what_has_waited_longest(world: World) -> None:
    """Without names, the oldest that are due are taken, up to the limit."""
    ids = [each.id for each in several(world, 4)]
    assert claimed(world, [], 3) == set(ids[:3])
    assert claimed(world, [], 3) == {ids[3]}
    assert claimed(world, [], 3) == set()


def test_what_is_not_due_is_not_claimed(world: World) -> None:
    """Naming a delivery does not make it due."""
    [delivery] = several(world, 1)
    assert world.settle(world.claim(delivery.id), a_failure(), wait=hours(1))
    assert claimed(world, [delivery.id], 9) == set()


def test_ended_deliveries_are_not_claimed(world: World) -> None:
    """What succeeded or was skipped stays ended, however many wake-ups name it."""
    succeeded, _ = several(world, 2)
    world.attempt(succeeded.id)
    skipped = world.delivery(world.workspace(), enabled=False)
    assert claimed(world, [succeeded.id, skipped.id], 2).isdisjoint({succeeded.id, skipped.id})


def test_the_claim_number_only_rises(world: World) -> None:
    """Each claim has a number of its own, over settlements and being sent again."""
    workspace_id = world.workspace()
    delivery = world.delivery(workspace_id, max_retries=1)
    numbers = []
    for _ in range(3):
        claim = world.claim(delivery.id)
        numbers.append(claim.delivery.claim_no)
        assert world.settle(claim, a_failure())
        world.send_again(workspace_id, delivery.id)
    assert numbers == [1, 2, 3]


def test_waits_are_told_of_what_is_pending_and_not_due(world: World) -> None:
    """A wake-up that came early learns how long to wait; for all else there is no wait."""
    early, due, held, done = several(world, 4)
    assert world.settle(world.claim(early.id), a_failure(), wait=hours(1))
    world.claim(held.id)
    world.attempt(done.id)
    waits = world.deliveries.waits([early.id, due.id, held.id, done.id, uuid4()])
    assert set(waits) == {early.id}
    assert hours(1) - timedelta(minutes=1) < waits[early.id] <= hours(1)
    assert world.deliveries.waits([]) == {}


def test_the_longest_due_are_found_first(world: World) -> None:
    """What has been due for at least so long is found, longest first, up to the limit."""
    ids = [each.id for each in several(world, 3)]
    assert world.deliveries.due(overdue_by=timedelta(0), limit=2) == ids[:2]
    assert world.deliveries.due(overdue_by=hours(1), limit=9) == []
    assert world.settle(world.claim(ids[0]), a_failure(), wait=timedelta(0))
    assert world.deliveries.due(overdue_by=timedelta(0), limit=9) == [ids[1], ids[2], ids[0]]
