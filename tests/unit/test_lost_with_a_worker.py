"""What a worker keeps in its memory is found by the sweep when it dies, within a period or two."""

from __future__ import annotations

from datetime import timedelta

from noteflow_hooks.delivery.tuning import RETRY_GATHER_S, RETRY_WINDOW
from tests.support.delivery_system import FAILED, System
from tests.support.simulated_worker import ENDPOINTS, LATENCY_S, SWEEP_S, Worker


def test_a_retry_that_was_gathered_by_a_killed_worker_is_made_within_two_periods_of_the_sweep() -> None:
    """One until it is overdue by so long that no message can be on its way, and one until the next sweep."""
    worker = Worker()
    worker.publish()
    worker.go_on(2 * RETRY_GATHER_S)
    assert sum(len(each.delivery_ids) for each in worker.collector.items) == len(worker.failing)
    worker.die()
    worker.go_on(4 * SWEEP_S)
    first = dict(reversed(worker.attempts))
    retries = [moment - first[key] for key, moment in worker.attempts[ENDPOINTS:][: len(worker.failing)]]
    assert len(retries) == len(worker.failing)
    at_the_latest = 1.2 + RETRY_WINDOW.total_seconds() + 2 * SWEEP_S + RETRY_GATHER_S + LATENCY_S
    assert SWEEP_S < max(retries) <= at_the_latest


def test_the_slot_of_an_endpoint_whose_probe_died_is_found_by_the_first_sweep_after_its_lease() -> None:
    """Nobody was woken for the lease's end, and here neither for the slot before it."""
    system = System(lambda _: FAILED, chunk=20, threads=50)
    system.deliver(system.deliveries(20))
    for _ in range(60):
        system.pass_time(timedelta(seconds=1))
        if any(system.rescue.wake_ups(queued=0, queued_slow=0)):
            break
        for chunk in system.rescue.overdue(by=timedelta(0), queued=0):
            system.deliver(chunk)
    [probe] = system.store.claim_throttled(limit=5, slow=False, lease_slack=system.rules.lease_slack).claims
    assert not any(system.rescue.wake_ups(queued=0, queued_slow=0))
    sent = len(system.sent)
    system.pass_time(timedelta(milliseconds=probe.webhook.timeout_ms) + system.rules.lease_slack)
    assert system.rescue.reclaim_expired() == 1
    assert any(system.rescue.wake_ups(queued=0, queued_slow=0))
    system.deliver([])
    assert len(system.sent) == sent + 1
