"""The store in memory takes its clock as an argument; tests of other parts move it."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.persistence.memory import (
    InMemoryBreakerLog,
    InMemoryCertificateWatch,
    InMemoryDeliveryStore,
    InMemoryMailStore,
    InMemoryRetentionStore,
    InMemoryStatsKeeper,
    InMemoryUnitOfWork,
    MemoryStore,
)
from tests.conformance.model.world import World
from tests.support.builders import NOON, a_failure, hours

SECOND = timedelta(seconds=1)


def test_time_passes_by_the_clock_that_was_given() -> None:
    """Waits, leases and the times on record are those of the given clock, to the moment."""
    moment = NOON
    store = MemoryStore(lambda: moment)
    stores = partial(InMemoryDeliveryStore, store)
    units, retention = partial(InMemoryUnitOfWork, store), InMemoryRetentionStore(store)
    told = InMemoryBreakerLog(store), InMemoryCertificateWatch(store)
    rest = InMemoryStatsKeeper(store), InMemoryMailStore(store)
    world = World(units, stores(), stores, lambda _: None, retention, *told, *rest)
    workspace_id = world.workspace()
    delivery = world.delivery(workspace_id, timeout_ms=1_000)
    assert delivery.created_at == NOON
    assert world.settle(world.claim(delivery.id), a_failure(), wait=hours(1))
    moment += hours(1) - SECOND
    assert world.deliveries.waits([delivery.id]) == {delivery.id: SECOND}
    moment += SECOND
    world.claim(delivery.id, slack=SECOND)
    moment += SECOND
    assert world.deliveries.reclaim_expired(limit=9) == 0
    moment += SECOND
    assert world.deliveries.reclaim_expired(limit=9) == 1
    [_, interrupted] = world.attempts(delivery.id)
    assert (interrupted.started_at, interrupted.duration_ms) == (NOON + hours(1), 2_000)
    assert world.read(workspace_id, delivery.id).status is DeliveryStatus.PENDING
