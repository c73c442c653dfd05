"""Due times are by the store's clock, whatever the worker's own says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from noteflow_hooks.concurrency.bulkhead import Bulkhead
from noteflow_hooks.delivery.service import DeliveryService
from noteflow_hooks.delivery.tuning import BULKHEAD, DeliveryRules
from noteflow_hooks.delivery.wake_ups import NoWakeUps
from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.egress import EgressPolicy
from noteflow_hooks.executor import WebhookExecutor
from tests.conformance.model.world import SLACK
from tests.support.builders import EXACT
from tests.support.receiver import Receiver
from tests.support.receiver_connection import Answer

if TYPE_CHECKING:
    from uuid import UUID

    from tests.conformance.model.world import World

BUSY = Answer(429, (("Retry-After", "120"),))


def deliver(world: World, delivery_id: UUID, *, skew: timedelta) -> None:
    """Deliver as a worker does whose clock is so far off."""
    executor = WebhookExecutor(EgressPolicy(allow_http_loopback=True), now=lambda: datetime.now(UTC) + skew)
    bulkhead = Bulkhead(4, tuning=BULKHEAD)
    service = DeliveryService(
        world.deliveries,
        executor.post,
        bulkhead,
        rules=DeliveryRules(
            policy=EXACT,
            chunk=5,
            lease_slack=SLACK,
            countdown_max=timedelta(0),
            slow_after=timedelta(seconds=30),
        ),
    )
    service.deliver([delivery_id], wake_ups=NoWakeUps())
    bulkhead.close()
    service.close()
    executor.close()


def test_the_store_tells_its_time(world: World) -> None:
    """It is aware, and goes on within a transaction's blink."""
    before = datetime.now(UTC)
    told = [world.deliveries.now() for _ in range(2)]
    assert before <= told[0] <= told[1] <= datetime.now(UTC)


@pytest.mark.parametrize("minutes", [-10, 0, 10])
def test_a_worker_whose_clock_is_off_makes_the_same_due_times(world: World, minutes: int) -> None:
    """The wait counts from the store's now; only what the worker says of itself, and signs, is off."""
    workspace_id, skew = world.workspace(), timedelta(minutes=minutes)
    with Receiver() as receiver:
        receiver.script("/", BUSY)
        delivery = world.delivery(workspace_id, url=receiver.url())
        before = world.deliveries.now()
        deliver(world, delivery.id, skew=skew)
        after = world.deliveries.now()
        [request] = receiver.requests
    stored = world.read(workspace_id, delivery.id)
    assert stored.status is DeliveryStatus.PENDING
    assert stored.next_attempt_at is not None
    assert before <= stored.next_attempt_at - timedelta(seconds=120) <= after
    [attempt] = world.attempts(delivery.id)
    signed_at = datetime.fromtimestamp(int(request.header("webhook-timestamp") or ""), UTC)
    for moment in (attempt.started_at, signed_at):
        assert before - timedelta(seconds=1) <= moment - skew <= after
