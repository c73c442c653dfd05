"""Settling: results are stored under their own claim and no other."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.deliveries import DeliveryStatus, Settlement
from noteflow_hooks.domain.skipping import DISABLED, SkipReason
from tests.conformance.model.world import EXPIRED, SLACK
from tests.support.builders import EXACT, a_failure, an_attempt_result, hours

if TYPE_CHECKING:
    from uuid import UUID

    from noteflow_hooks.domain.deliveries import WebhookDelivery
    from tests.conformance.model.world import World


def test_a_success_is_stored(world: World) -> None:
    """A delivery that succeeded has the last attempt's words and the time of the 2xx."""
    workspace_id = world.workspace()
    delivery = world.delivery(workspace_id)
    before = datetime.now(UTC)
    assert world.settle(world.claim(delivery.id), an_attempt_result(status_code=202, response_body=None))
    stored = world.read(workspace_id, delivery.id)
    assert (stored.status, stored.status_code, stored.response_body) == (DeliveryStatus.SUCCEEDED, 202, None)
    assert (stored.attempt_count, stored.duration_ms, stored.error_message) == (1, 12, None)
    assert (stored.next_attempt_at, stored.lease_expires_at, stored.budget_used) == (None, None, 0)
    assert stored.delivered_at is not None
    assert before <= stored.delivered_at <= datetime.now(UTC)


def test_a_failure_waits_for_its_next_attempt(world: World) -> None:
    """A failed delivery is due again after its wait, counted from now by the store's clock."""
    workspace_id = world.workspace()
    delivery = world.delivery(workspace_id)
    before = datetime.now(UTC)
    assert world.settle(world.claim(delivery.id), a_failure(), wait=hours(1))
    stored = world.read(workspace_id, delivery.id)
    assert (stored.status, stored.status_code, stored.response_body) == (DeliveryStatus.PENDING, 500, "no")
    assert (stored.attempt_count, stored.budget_used, stored.error_message) == (1, 1, "HTTP 500")
    assert (stored.delivered_at, stored.lease_expires_at) == (None, None)
    assert stored.next_attempt_at is not None
    assert before + hours(1) <= stored.next_attempt_at <= datetime.now(UTC) + hours(1)


def test_a_wait_of_nothing_is_due_at_once(world: World) -> None:
    """After no wait the delivery can be claimed again."""
    delivery = world.delivery(world.workspace())
    assert world.settle(world.claim(delivery.id), a_failure(), wait=timedelta(0))
    assert world.claim(delivery.id).delivery.claim_no == 2


def test_the_last_failure_is_the_end(world: World) -> None:
    """Out of attempts, a delivery is a dead letter that says so, and is never due."""
    workspace_id = world.workspace()
    delivery = world.delivery(workspace_id, max_retries=1)
    failure = a_failure(
        status_code=None, response_body=None, error_kind=ErrorKind.TIMEOUT, error_message="Request timed out"
    )
    assert world.settle(world.claim(delivery.id), failure)
    stored = world.read(workspace_id, delivery.id)
    assert (stored.status, stored.status_code, stored.next_attempt_at) == (DeliveryStatus.DEAD, None, None)
    assert stored.error_message == "Max retries exceeded: Request timed out"
    [attempt] = world.attempts(delivery.id)
    assert (attempt.error_kind, attempt.error_message) == ("timeout", "Request timed out")
    assert world.deliveries.due(overdue_by=timedelta(0), limit=9) == []


def test_what_is_not_sent_is_no_attempt(world: World) -> None:
    """A claim that is settled as skipped leaves its reason and no attempt."""
    workspace_id = world.workspace()
    delivery = world.delivery(workspace_id)
    held = world.claim(delivery.id).delivery
    assert world.deliveries.settle([Settlement(held.skipped(DISABLED))]).fencing_keys == {(delivery.id, 1)}
    stored = world.read(workspace_id, delivery.id)
    assert (stored.status, stored.error_message) == (DeliveryStatus.SKIPPED, DISABLED.message)
    assert stored.skip_reason is SkipReason.DISABLED
    assert (stored.attempt_count, stored.next_attempt_at, stored.lease_expires_at) == (0, None, None)
    assert world.attempts(delivery.id) == []


def test_a_result_is_settled_once(world: World) -> None:
    """The same settlement a second time is refused and records no second attempt."""
    delivery = world.delivery(world.workspace())
    claim = world.claim(delivery.id)
    assert world.settle(claim, a_failure(), wait=timedelta(0))
    assert not world.settle(claim, a_failure(), wait=timedelta(0))
    assert len(world.attempts(delivery.id)) == 1


@pytest.mark.parametrize("retaken", [True, False])
def test_a_stale_claims_result_is_refused(world: World, retaken: bool) -> None:  # noqa: FBT001 - a case of the table
    """A worker that lost its lease changes nothing, whether another one holds the delivery or none does."""
    workspace_id = world.workspace()
    delivery = world.delivery(workspace_id)
    stale = world.claim(delivery.id, slack=EXPIRED)
    assert world.deliveries.reclaim_expired(limit=9) == 1
    if retaken:
        world.claim(delivery.id)
    before = world.read(workspace_id, delivery.id)
    assert not world.settle(stale, an_attempt_result())
    assert world.read(workspace_id, delivery.id) == before
    assert [each.error_kind for each in world.attempts(delivery.id)] == ["interrupted"]


def test_a_claim_never_made_settles_nothing(world: World) -> None:
    """A result under a number that was not given out yet is refused."""
    delivery = world.delivery(world.workspace())
    claim = world.claim(delivery.id)
    forged = replace(claim, delivery=claim.delivery._replace(claim_no=2))
    assert not world.settle(forged, an_attempt_result())
    assert world.settle(claim, an_attempt_result())


def test_a_late_result_within_its_claim_is_stored(world: World) -> None:
    """Past its lease, a worker may still settle what nobody took back: so it is not sent twice."""
    delivery = world.delivery(world.workspace())
    assert world.settle(world.claim(delivery.id, slack=EXPIRED), an_attempt_result())
    assert world.deliveries.reclaim_expired(limit=9) == 0


def a_due_one(world: World) -> tuple[WebhookDelivery, UUID]:
    workspace_id = world.workspace()
    return world.delivery(workspace_id), workspace_id


def test_results_are_settled_in_groups(world: World) -> None:
    """A group is stored but for the stale among it, whose ids are not returned."""
    made = {delivery.id: workspace_id for delivery, workspace_id in (a_due_one(world) for _ in range(2))}
    claims = {claim.delivery.id: claim for claim in world.deliveries.claim([], limit=9, lease_slack=SLACK)}
    lost = world.claim(world.delivery(world.workspace()).id, slack=EXPIRED)
    assert world.deliveries.reclaim_expired(limit=9) == 1
    settlements = []
    for claim in (*claims.values(), lost):
        result = an_attempt_result(response_body=str(claim.delivery.id))
        after, _ = claim.delivery.attempted(result, max_retries=1, policy=EXACT, draw=0)
        settlements.append(Settlement(after, attempt=result))
    assert set(claims) == set(made)
    assert world.deliveries.settle(settlements).fencing_keys == {(each, 1) for each in made}
    for delivery_id, workspace_id in made.items():
        stored = world.read(workspace_id, delivery_id)
        [attempt] = world.attempts(delivery_id)
        assert stored.response_body == attempt.response_body == str(delivery_id)


def test_of_two_results_of_one_delivery_the_owner_s_counts(world: World) -> None:
    """Both in one group, as when a worker that slept past its lease has claimed it again: the other leaves no trace."""
    delivery, workspace_id = a_due_one(world)
    lost = world.claim(delivery.id, slack=EXPIRED)
    assert world.deliveries.reclaim_expired(limit=9) == 1
    own = world.claim(delivery.id)
    stale, _ = lost.delivery.attempted(an_attempt_result(), max_retries=3, policy=EXACT, draw=0)
    after, wait = own.delivery.attempted(a_failure(), max_retries=3, policy=EXACT, draw=0)
    group = [
        Settlement(after, wait=wait, attempt=a_failure()),
        Settlement(stale, attempt=an_attempt_result()),
    ]
    assert world.deliveries.settle(group).fencing_keys == {(delivery.id, 2)}
    assert world.read(workspace_id, delivery.id).status is DeliveryStatus.PENDING
    assert [each.error_kind for each in world.attempts(delivery.id)] == [ErrorKind.INTERRUPTED, ErrorKind.STATUS]
    with world.units() as unit:
        health = unit.webhooks.get_health([delivery.webhook_id])[delivery.webhook_id]
    assert health.failures == 1


def test_no_results_are_no_work(world: World) -> None:
    """An empty group settles nothing."""
    assert world.deliveries.settle([]).fencing_keys == set()
