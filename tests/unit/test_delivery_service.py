"""Deliveries that are due are sent and recorded: which, how many at a time, and what follows from them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from noteflow_hooks.delivery.settler import SHOWN_IDS
from noteflow_hooks.delivery.wake_ups import Lane
from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.paging import DeliveryFilter
from tests.support.delivery_system import FAILED, OK, System

if TYPE_CHECKING:
    from noteflow_hooks.domain.deliveries import AttemptResult, Claim
    from noteflow_hooks.domain.ports.delivery_store import Claimed


def test_named_deliveries_are_sent_and_recorded(system: System) -> None:
    """A 200 leaves the row succeeded, with one attempt on record."""
    [delivery_id] = system.deliveries(1)
    done = system.deliver([delivery_id])
    assert str(done) == "1 succeeded"
    assert system.read(delivery_id).status is DeliveryStatus.SUCCEEDED
    with system.unit() as unit:
        assert [each.status_code for each in unit.deliveries.attempts(delivery_id)] == [200]


def test_a_message_for_nothing_sends_nothing(system: System) -> None:
    """An unknown id, or one that is settled already, is no work and no error."""
    [delivery_id] = system.deliveries(1)
    system.deliver([delivery_id])
    assert str(system.deliver([delivery_id, uuid4()])) == "nothing due"
    assert system.sent == [delivery_id]


def test_a_message_brings_along_what_else_is_due(system: System) -> None:
    """Of nine due deliveries one is named: all are sent, a chunk of five at a time."""
    ids = system.deliveries(9)
    assert str(system.deliver(ids[:1])) == "9 succeeded"
    assert ids[0] in system.sent[:5]


def test_a_task_makes_room_for_another_after_some_chunks(system: System) -> None:
    """Eight chunks of five, and a wake-up for what is left."""
    system.deliveries(45)
    assert str(system.deliver([])) == "40 succeeded"
    assert system.wake_ups.woken == [(Lane.QUICK, timedelta(0))]


def test_all_named_deliveries_are_sent_however_little_room_there_is() -> None:
    """With room for two POSTs at a time, five named deliveries take three rounds within the one call."""
    system = System(threads=2)
    ids = system.deliveries(5)
    assert str(system.deliver(ids)) == "5 succeeded"
    assert sorted(system.sent) == sorted(ids)


def test_a_short_wait_goes_back_to_the_queue(system: System) -> None:
    """A failed attempt waits one second, as the policy says, and its id is handed back for a countdown."""
    system.answer = lambda _: FAILED
    [delivery_id] = system.deliveries(1)
    assert str(system.deliver([delivery_id])) == "1 retrying"
    assert system.wake_ups.retries == [(timedelta(seconds=1), [delivery_id])]
    assert system.read(delivery_id).next_attempt_at == system.now + timedelta(seconds=1)


def test_a_long_wait_stays_in_the_row() -> None:
    """A wait beyond the longest countdown is no wake-up: the sweep brings it back."""
    system = System(lambda _: FAILED, countdown_max=timedelta(milliseconds=999))
    [delivery_id] = system.deliveries(1)
    system.deliver([delivery_id])
    assert system.wake_ups.retries == []
    assert system.read(delivery_id).status is DeliveryStatus.PENDING


def test_an_early_message_is_put_back_for_the_rest_of_its_wait(system: System) -> None:
    """Half a second into a wait of one, half a second is left; a delivery that is due or settled has none."""
    system.answer = lambda _: FAILED
    ids = system.deliveries(1)
    system.deliver(ids)
    system.pass_time(timedelta(seconds=0.5))
    assert system.service.early(ids) == {timedelta(seconds=0.5): ids}
    system.pass_time(timedelta(seconds=0.5))
    assert system.service.early(ids) == {}


def test_what_is_throttled_goes_in_its_endpoint_s_slots(system: System) -> None:
    """One at a time is allowed: of five none goes with another, and wake-ups bring them all."""
    at_once: list[int] = []

    def answer(_: Claim) -> AttemptResult:
        with system.unit() as unit:
            page = unit.deliveries.list_page(system.workspace.id, DeliveryFilter(), limit=9)
        at_once.append(sum(each.status is DeliveryStatus.SENDING for each in page))
        return OK

    system.answer = answer
    ids = system.deliveries(5, max_concurrency=1)
    system.deliver(ids)
    while system.wake_ups.woken:
        system.wake_ups.woken.clear()
        system.deliver([])
    assert at_once == [1] * 5
    assert sorted(system.sent) == sorted(ids)


def test_a_slot_that_comes_later_is_woken_for_then(system: System) -> None:
    """One in two seconds: the first goes, and a wake-up comes back when the next may."""
    system.deliveries(3, rate_limit_per_s=0.5)
    assert str(system.deliver([])) == "1 succeeded"
    [(lane, wait)] = system.wake_ups.woken
    assert (lane, timedelta(seconds=1) < wait <= timedelta(seconds=2)) == (Lane.QUICK, True)


@pytest.mark.parametrize(("frozen_s", "starts"), [(9.9, True), (10.1, False), (11.0, False)])
def test_no_post_starts_that_might_outlast_its_lease(frozen_s: float, starts: bool) -> None:  # noqa: FBT001 - a case
    """Ten seconds of slack and one of timeout: a worker frozen for longer after its claim gives the delivery back.

    That is no attempt, and a task is woken for it.
    """
    system = System()
    [delivery_id] = system.deliveries(1, timeout_ms=1000)
    claim = system.store.claim

    def slow_claim(*args: Any, **options: Any) -> Claimed:  # noqa: ANN401 - the store's own
        claims = claim(*args, **options)
        system.slept.append(frozen_s)
        return claims

    system.store.claim = slow_claim  # type: ignore[method-assign]  # frozen right after it claimed
    assert str(system.deliver([delivery_id])) == ("1 succeeded" if starts else "1 retrying")
    assert system.sent == [delivery_id] * starts
    assert system.wake_ups.retries == ([] if starts else [(timedelta(0), [delivery_id])])
    assert system.read(delivery_id).attempt_count == starts


def test_a_task_shows_what_it_sent_beside_what_it_was_asked_for() -> None:
    """So that a first attempt is found by its delivery's id; of very many the first ones, and how many more."""
    system = System()
    asked, other = system.deliveries(2)
    outcomes = system.deliver([asked])
    assert set(outcomes.sent) == {str(asked), str(other)}
    assert outcomes.shown([str(asked)]) == f"2 succeeded; {other}"
    assert outcomes.shown(outcomes.sent) == "2 succeeded"
    outcomes.sent = tuple(str(uuid4()) for _ in range(SHOWN_IDS + 3))
    assert outcomes.shown().endswith(f"{outcomes.sent[SHOWN_IDS - 1]} and 3 more")
