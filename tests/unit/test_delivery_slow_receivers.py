"""Receivers that take long hold up neither results nor tasks."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING

from noteflow_hooks.domain.deliveries import DeliveryStatus
from tests.support.delivery_system import FAILED, OK, System
from tests.support.waiting import PATIENCE_S, until

if TYPE_CHECKING:
    from datetime import datetime

    from noteflow_hooks.domain.deliveries import AttemptResult, Claim


def test_a_slow_receiver_does_not_hold_back_the_results_of_others() -> None:
    """The quick one is on record while the slow one is still under way."""
    release, system = threading.Event(), System()
    ids = system.deliveries(2)

    def answer(claim: Claim) -> AttemptResult:
        if claim.delivery.id == ids[0]:
            assert release.wait(PATIENCE_S)
        return OK

    system.answer = answer
    worker = threading.Thread(target=system.deliver, args=(ids,))
    worker.start()
    until(lambda: system.read(ids[1]).status is DeliveryStatus.SUCCEEDED, what="the quick one is recorded")
    assert system.read(ids[0]).status is DeliveryStatus.SENDING
    release.set()
    worker.join(PATIENCE_S)
    assert system.read(ids[0]).status is DeliveryStatus.SUCCEEDED


def test_a_retry_is_queued_while_a_slow_sibling_is_under_way() -> None:
    """Its wait runs from its own result, not from that of the slowest POST beside it."""
    release, system = threading.Event(), System()
    ids = system.deliveries(2)

    def answer(claim: Claim) -> AttemptResult:
        if claim.delivery.id == ids[0]:
            assert release.wait(PATIENCE_S)
            return OK
        return FAILED

    system.answer = answer
    worker = threading.Thread(target=system.deliver, args=(ids,))
    worker.start()
    until(lambda: system.wake_ups.retries, what="the wake-up")
    assert system.wake_ups.retries == [(timedelta(seconds=1), [ids[1]])]
    assert system.read(ids[0]).status is DeliveryStatus.SENDING
    release.set()
    worker.join(PATIENCE_S)


def test_a_slow_receiver_holds_up_no_task() -> None:
    """Once it has taken too long the task returns; the endpoint is slow from then on, and the result comes in late."""
    release = threading.Event()
    system = System(lambda _: OK if release.wait(PATIENCE_S) else FAILED, slow_after=timedelta(milliseconds=50))
    ids = system.deliveries(2)
    assert str(system.deliver(ids)) == "2 under way"

    def slow_since() -> datetime | None:
        webhook_id = system.read(ids[0]).webhook_id
        with system.unit() as unit:
            return unit.webhooks.get_health([webhook_id])[webhook_id].slow_since

    until(lambda: slow_since() == system.now, what="the endpoint is slow")
    release.set()
    until(lambda: all(system.read(each).status is DeliveryStatus.SUCCEEDED for each in ids), what="the late results")
    system.bulkhead.close()
    system.service.close()
