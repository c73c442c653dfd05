"""A worker's way with batches: what is counted, logged, woken for, and what becomes of those that take long."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from noteflow_hooks.delivery.dispatcher import PageSizes
from noteflow_hooks.delivery.tuning import DISPATCH_PAGE
from noteflow_hooks.delivery.wake_ups import Lane
from noteflow_hooks.domain.batches import BatchClaim
from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.options import EndpointOptions
from noteflow_hooks.domain.ports.delivery_store import Dispatched
from noteflow_hooks.domain.whole_batches import WholeSuccess
from tests.support.batches import a_batch
from tests.support.builders import an_attempt_result, an_event
from tests.support.delivery_system import FAILED, OK, System
from tests.support.waiting import PATIENCE_S, until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    import pytest

    from noteflow_hooks.domain.deliveries import AttemptResult, Claim, Settlement
    from noteflow_hooks.domain.ports.delivery_store import Settled

BATCHED = EndpointOptions(batch_max=3)


def batched(system: System, count: int, **overrides: object) -> list[UUID]:
    """Make that many deliveries for an endpoint with batches, and return their ids."""
    webhook_id = system.subscribed(**{"options": BATCHED, **overrides})
    system.events(count)
    system.dispatched()
    with system.unit() as unit:
        return [each.id for each in reversed(unit.webhooks.get_deliveries(webhook_id, limit=100))]


def statuses(system: System, ids: list[UUID]) -> set[DeliveryStatus]:
    return {system.read(each).status for each in ids}


def test_each_member_is_counted_and_a_batch_is_one_post() -> None:
    """Seven deliveries in three POSTs."""
    system = System()
    ids = batched(system, 7)
    assert system.deliver([])["succeeded"] == 7
    assert len(system.sent) == 3
    assert statuses(system, ids) == {DeliveryStatus.SUCCEEDED}


def test_a_failed_batch_wakes_its_lane_when_it_is_due_and_names_nobody() -> None:
    """One wake-up for the slot, and no message with the members' ids; it is logged as one attempt."""
    system = System(lambda _: FAILED)
    ids = batched(system, 3, max_retries=5)
    assert system.deliver([])["retrying"] == 3
    assert system.wake_ups.retries == []
    assert (Lane.QUICK, timedelta(seconds=1)) in system.wake_ups.woken
    assert system.deliver(ids).total() == 0
    system.pass_time(timedelta(seconds=1))
    assert system.deliver([])["retrying"] == 3


def test_a_failed_batch_is_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """With the batch's id and how many it has: a hundred lines would say the same."""
    system = System(lambda _: FAILED)
    batched(system, 3)
    with caplog.at_level(logging.WARNING):
        system.deliver([])
    [fields] = [vars(each)["fields"] for each in caplog.records]
    assert fields["batch"] is not None
    assert fields["members"] == 3


def test_those_that_an_answer_names_are_retried_and_the_others_are_done() -> None:
    """The named ones come again once their wait is over, in a message of their own."""
    named: list[UUID] = []

    def answer(claim: Claim) -> AttemptResult:
        assert isinstance(claim, BatchClaim)
        named.append(claim.members[1].delivery.id)
        return an_attempt_result(failed_events=frozenset({claim.members[1].delivery.event_id}))

    system = System(answer)
    batched(system, 3, options=replace(BATCHED, batch_partial=True))
    outcomes = system.deliver([])
    assert (outcomes["succeeded"], outcomes["retrying"]) == (2, 1)
    assert system.wake_ups.retries == [(timedelta(seconds=1), named)]


def test_a_batch_that_takes_long_is_settled_when_it_ends_with_all_its_members() -> None:
    """Its task goes on without it, and its endpoint is slow from then on, once for all."""
    release, system = threading.Event(), System(slow_after=timedelta(seconds=0.05))

    def answer(_: Claim) -> AttemptResult:
        assert release.wait(PATIENCE_S)
        return OK

    system.answer = answer
    ids = batched(system, 3)
    assert system.deliver([])["under way"] == 1
    assert statuses(system, ids) == {DeliveryStatus.SENDING}
    webhook_id = system.read(ids[0]).webhook_id
    until(lambda: system.memory.tables.health[webhook_id].slow_since is not None, what="the endpoint is slow")
    release.set()
    until(lambda: statuses(system, ids) == {DeliveryStatus.SUCCEEDED}, what="the batch is settled")


def test_one_member_that_must_not_be_sent_keeps_the_batch_from_being_sent() -> None:
    """It is skipped, and the others go without it, without an attempt lost."""
    system = System()
    kinds = ("meeting.completed", "summary.generated")
    webhook_id = system.subscribed(options=BATCHED, events=kinds)
    with system.unit() as unit:
        for each in kinds:
            unit.events.append(an_event(workspace_id=system.workspace.id, event_type=each))
        unit.commit()
    system.dispatched()
    with system.unit() as unit:
        webhook = unit.webhooks.get_by_id(webhook_id)
        assert webhook is not None
        unit.webhooks.update(replace(webhook, events=kinds[1:]))
        unit.commit()
    outcomes = system.deliver([])
    assert (outcomes["skipped"], outcomes["succeeded"], len(system.sent)) == (1, 1, 1)
    with system.unit() as unit:
        assert {each.attempt_count for each in unit.webhooks.get_deliveries(webhook_id)} == {0, 1}


def announced(system: System, count: int) -> int:
    """Dispatch and deliver so many new events in one round; return how many deliveries were made."""
    made, _ = system.service.dispatch_and_deliver(system.events(count), wake_ups=system.wake_ups)
    return made


def test_batches_are_leased_as_they_are_dispatched_once_there_is_such_traffic() -> None:
    """The first round leaves them to a slot, and the next ones don't: they send whole batches without a claim."""
    system = System()
    webhook_id = system.subscribed(options=BATCHED)
    assert announced(system, 3) == 0
    assert len(system.sent) == 0
    assert announced(system, 7) == 7
    assert len(system.sent) == 3
    system.deliver([])
    with system.unit() as unit:
        found = unit.webhooks.get_deliveries(webhook_id, limit=100)
    assert {each.status for each in found} == {DeliveryStatus.SUCCEEDED}


def test_a_page_may_make_as_many_deliveries_as_its_posts_take() -> None:
    """Pages grow with the size of batches, and shrink where what is dispatched goes one by one again."""
    sizes = PageSizes()
    assert sizes.next(50) == (100, 50)
    sizes.note(Dispatched((), events=50, more=True, claims=(_batch_of(50),), batched=True), room=50)
    assert sizes.next(50)[0] == DISPATCH_PAGE
    sizes.note(Dispatched((), events=50, more=False, claims=(), batched=False), room=50)
    assert sizes.next(50)[0] == 100


def _batch_of(count: int) -> BatchClaim:
    return a_batch("https://receiver.example/hooks", *[b"{}"] * count)


def test_a_success_of_a_whole_batch_is_stored_as_one_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """All are counted and logged one by one; the store is given one result."""
    system = System()
    batched(system, 3)
    given: list[Settlement] = []
    settle = system.store.settle

    def watched(group: Sequence[Settlement]) -> Settled:
        given.extend(group)
        return settle(group)

    monkeypatch.setattr(system.store, "settle", watched)
    assert system.deliver([])["succeeded"] == 3
    assert [isinstance(each, WholeSuccess) for each in given] == [True]
