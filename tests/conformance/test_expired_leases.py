"""Interruptions: what the sweep takes back from workers that died, and when it gives up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from noteflow_hooks.domain.attempts import INTERRUPTED, ErrorKind
from noteflow_hooks.domain.deliveries import DeliveryStatus
from tests.conformance.model.world import EXPIRED, SLACK
from tests.support.builders import a_failure

if TYPE_CHECKING:
    from noteflow_hooks.domain.deliveries import WebhookDelivery
    from tests.conformance.model.world import World


def take_back_once(world: World, delivery: WebhookDelivery) -> None:
    world.claim(delivery.id, slack=EXPIRED)
    assert world.deliveries.reclaim_expired(limit=9) == 1


def test_what_a_dead_worker_held_is_due_again(world: World) -> None:
    """Taken back, a delivery is due at once, its cut-off attempt on record, the endpoint's budget whole."""
    workspace_id = world.workspace()
    delivery = world.delivery(workspace_id)
    claimed_from = datetime.now(UTC)
    take_back_once(world, delivery)
    stored = world.read(workspace_id, delivery.id)
    assert (stored.status, stored.error_message) == (DeliveryStatus.PENDING, INTERRUPTED)
    assert (stored.attempt_count, stored.budget_used, stored.interruptions) == (1, 0, 1)
    assert stored.lease_expires_at is None
    [attempt] = world.attempts(delivery.id)
    assert (attempt.attempt_number, attempt.error_kind, attempt.error_message) == (
        1,
        ErrorKind.INTERRUPTED,
        INTERRUPTED,
    )
    assert (attempt.status_code, attempt.response_body) == (None, None)
    assert claimed_from <= attempt.started_at <= datetime.now(UTC)
    assert world.claim(delivery.id).delivery.claim_no == 2


def test_a_lease_that_lasts_is_respected(world: World) -> None:
    """What is held within its lease is not taken back, nor is what nobody holds."""
    held, _ = world.delivery(world.workspace()), world.delivery(world.workspace())
    world.claim(held.id, slack=SLACK)
    assert world.deliveries.reclaim_expired(limit=9) == 0


def test_taking_back_is_bounded(world: World) -> None:
    """A round takes back up to its limit and leaves the rest to the next."""
    for _ in range(3):
        world.claim(world.delivery(world.workspace()).id, slack=EXPIRED)
    assert [world.deliveries.reclaim_expired(limit=2) for _ in range(3)] == [2, 1, 0]


def test_five_interruptions_in_a_row_end_it(world: World) -> None:
    """A delivery that kills every worker that touches it is dead at the fifth, each time on record."""
    workspace_id = world.workspace()
    delivery = world.delivery(workspace_id, max_retries=20)
    for _ in range(4):
        take_back_once(world, delivery)
        assert world.read(workspace_id, delivery.id).status is DeliveryStatus.PENDING
    take_back_once(world, delivery)
    stored = world.read(workspace_id, delivery.id)
    assert stored.status is DeliveryStatus.DEAD
    assert stored.error_message == f"Max retries exceeded: {INTERRUPTED}"
    assert (stored.next_attempt_at, stored.budget_used) == (None, 0)
    assert [each.attempt_number for each in world.attempts(delivery.id)] == [1, 2, 3, 4, 5]
    assert world.deliveries.due(overdue_by=timedelta(0), limit=9) == []


def test_an_answer_breaks_the_row_of_interruptions(world: World) -> None:
    """Interruptions count from the last attempt that had a result."""
    workspace_id = world.workspace()
    delivery = world.delivery(workspace_id, max_retries=20)
    for _ in range(4):
        take_back_once(world, delivery)
    assert world.settle(world.claim(delivery.id), a_failure(), wait=timedelta(0))
    for _ in range(4):
        take_back_once(world, delivery)
    stored = world.read(workspace_id, delivery.id)
    assert (stored.status, stored.attempt_count, stored.budget_used) == (DeliveryStatus.PENDING, 9, 1)
