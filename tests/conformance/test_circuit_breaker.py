"""The circuit breaker: what opens it, the probes that test it, and how a backlog is drained after it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from noteflow_hooks.domain.deliveries import DeliveryStatus
from tests.conformance.model.throttling import (
    MINUTE,
    claim,
    claim_slots,
    dispatch,
    endpoint,
    fail,
    open_breaker,
    settle,
)
from tests.conformance.model.world import EXPIRED
from tests.support.builders import a_failure, an_attempt_result, an_event

if TYPE_CHECKING:
    from tests.conformance.model.world import World


def test_failures_in_a_row_open_the_breaker(breaking: World) -> None:
    """After three nothing goes; what waits is pending, held, and keeps its attempts."""
    webhook = endpoint(breaking)
    open_breaker(breaking, webhook)
    [waiting] = dispatch(breaking, webhook)
    assert (len(claim(breaking, [waiting])), claim_slots(breaking)) == (0, [])
    stored = breaking.read(webhook.workspace_id, waiting)
    assert (stored.status, stored.held, stored.attempt_count) == (DeliveryStatus.PENDING, True, 0)


def test_a_success_between_failures_starts_the_count_anew(breaking: World) -> None:
    """Two failures, a success and two failures open nothing."""
    webhook = endpoint(breaking)
    for result in (a_failure(), a_failure(), an_attempt_result(), a_failure(), a_failure()):
        dispatch(breaking, webhook)
        settle(breaking, list(claim(breaking)), result)
    dispatch(breaking, webhook)
    assert len(claim(breaking)) == 1


def test_zero_opens_no_breaker(world: World) -> None:
    """However many fail."""
    world = world.under(breaker_failures=0)
    webhook = endpoint(world)
    fail(world, webhook, 40)
    dispatch(world, webhook)
    assert len(claim(world)) == 1


def test_our_own_faults_open_no_breaker(breaking: World) -> None:
    """A worker that dies four times says nothing of the endpoint."""
    dispatch(breaking, endpoint(breaking))
    for _ in range(4):
        assert len(claim(breaking, slack=EXPIRED)) == 1
        breaking.deliveries.reclaim_expired(limit=9)
    assert len(claim(breaking)) == 1


def test_one_probe_at_a_time_tests_an_open_breaker(breaking: World) -> None:
    """When its time is over one delivery goes, and no other while that is under way."""
    webhook = endpoint(breaking)
    open_breaker(breaking, webhook)
    dispatch(breaking, webhook, 4)
    breaking.age(MINUTE)
    probe = claim_slots(breaking)
    assert len(probe) == 1
    assert (claim_slots(breaking), len(claim(breaking))) == ([], 0)


def test_a_probe_that_fails_opens_it_for_longer(breaking: World) -> None:
    """Two minutes the second time, three the third, for that is the most; each time one probe."""
    webhook = endpoint(breaking)
    open_breaker(breaking, webhook)
    dispatch(breaking, webhook, 9)
    for minutes in (1, 2, 3, 3):
        breaking.age(minutes * MINUTE - timedelta(seconds=40))
        assert claim_slots(breaking) == []
        breaking.age(timedelta(seconds=40))
        settle(breaking, claim_slots(breaking), a_failure())


def test_a_probe_that_succeeds_drains_the_backlog_gently(breaking: World) -> None:
    """Two at once, then twice as many with each success, until the cap is reached."""
    webhook = endpoint(breaking, max_concurrency=10)
    open_breaker(breaking, webhook)
    dispatch(breaking, webhook, 40)
    breaking.age(MINUTE)
    settle(breaking, claim_slots(breaking), an_attempt_result())
    first = claim_slots(breaking)
    assert len(first) == 2
    settle(breaking, first[:1], an_attempt_result())
    assert len(claim_slots(breaking)) == 3
    settle(breaking, first[1:], an_attempt_result())
    assert len(claim_slots(breaking)) == 5


def test_a_probe_that_is_lost_is_followed_by_another(breaking: World) -> None:
    """A worker that dies with the probe holds up the endpoint for its lease and no longer."""
    webhook = endpoint(breaking)
    open_breaker(breaking, webhook)
    dispatch(breaking, webhook, 2)
    breaking.age(MINUTE)
    assert len(claim_slots(breaking)) == 1
    breaking.age(MINUTE)
    assert breaking.deliveries.reclaim_expired(limit=9) == 1
    assert len(claim_slots(breaking)) == 1


def test_with_nothing_to_probe_with_the_next_delivery_is_the_probe(breaking: World) -> None:
    """Nothing waits when the breaker's time is over; the first that comes goes, and the second is held."""
    webhook = endpoint(breaking)
    open_breaker(breaking, webhook)
    breaking.age(MINUTE)
    assert claim_slots(breaking) == []
    dispatch(breaking, webhook, 2)
    assert len(claim(breaking)) == 0
    assert len(claim_slots(breaking)) == 1


def test_a_test_and_a_single_redelivery_go_past_the_breaker(breaking: World) -> None:
    """They are asked for by a person; what they find counts like any other attempt."""
    webhook = endpoint(breaking)
    dispatch(breaking, webhook)
    [old] = claim(breaking)
    settle(breaking, [old], an_attempt_result())
    open_breaker(breaking, webhook)
    with breaking.units() as unit:
        test = unit.events.append(an_event(workspace_id=webhook.workspace_id, target_webhook_id=webhook.id))
        unit.deliveries.send_again(webhook.workspace_id, old.delivery.id)
        unit.commit()
    ids = breaking.deliveries.dispatch([test.id], limit=9).delivery_ids
    claims = list(claim(breaking, [*ids, old.delivery.id]))
    assert {each.delivery.id for each in claims} == {*ids, old.delivery.id}
    settle(breaking, claims[:1], an_attempt_result())
    dispatch(breaking, webhook)
    assert len(claim_slots(breaking)) == 1
