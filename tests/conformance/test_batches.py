"""Batches: what goes in one POST, that it stays the same over whatever happens, and what becomes of its members."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from noteflow_hooks.domain.batches import BatchClaim
from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.options import EndpointOptions, Format
from tests.conformance.model.batching import NOW, SUCCESS, batched, batches, end, members, stored, taken
from tests.conformance.model.throttling import claim, claim_slots, dispatch, endpoint
from tests.conformance.model.world import EXPIRED
from tests.support.builders import a_failure, an_event, hours

if TYPE_CHECKING:
    from collections.abc import Sequence

    from noteflow_hooks.domain.deliveries import Claim
    from tests.conformance.model.world import World


def test_what_waits_for_an_endpoint_goes_together(world: World) -> None:
    """Seven events, three to a batch: two full ones and the rest, in their order, each delivery with its batch's id."""
    webhook = batched(world)
    ids = dispatch(world, webhook, 7)
    assert list(claim(world, ids)) == []
    found = taken(world)
    assert [len(each.members) for each in found] == [3, 3, 1]
    assert [key for each in found for key in members(each)] == ids
    assert len({each.id for each in found}) == 3
    for each in found:
        assert {(one.status, one.batch_id) for one in stored(world, each)} == {(DeliveryStatus.SENDING, each.id)}


def test_a_success_settles_all_and_each_has_its_attempt(world: World) -> None:
    """One POST is an attempt of each member, under the batch's id, and all succeed by it."""
    dispatch(world, batched(world), 3)
    [batch] = taken(world)
    kept = end(world, batch, SUCCESS).fencing_keys
    assert kept == {(each.delivery.id, each.delivery.claim_no) for each in batch.members}
    for each in stored(world, batch):
        assert (each.status, each.batch_id, each.attempt_count) == (DeliveryStatus.SUCCEEDED, batch.id, 1)
        [attempt] = world.attempts(each.id)
        assert (attempt.batch_id, attempt.status_code) == (batch.id, 200)


def test_a_batch_that_fails_is_sent_again_as_that_batch(world: World) -> None:
    """The same id and members in the same order, whatever came meanwhile, and one budget for all."""
    webhook = batched(world)
    dispatch(world, webhook, 2)
    [first] = taken(world)
    end(world, first, a_failure())
    newer = dispatch(world, webhook, 2)
    again, fresh = taken(world)
    assert (again.id, members(again), again.rendering) == (first.id, members(first), first.rendering)
    assert {each.delivery.budget_used for each in again.members} == {1}
    assert members(fresh) == newer


def test_a_batch_waits_for_its_next_attempt(world: World) -> None:
    """Until the wait is over nothing of it is claimed, neither by itself nor in a slot; then all of it is."""
    webhook = batched(world)
    ids = dispatch(world, webhook, 3)
    [first] = taken(world)
    slots = end(world, first, a_failure(), wait=hours(1)).slots
    assert {each.wait > hours(0.9) for each in slots} == {True}
    assert (claim_slots(world), list(claim(world, ids))) == ([], [])
    world.age(hours(1))
    [again] = taken(world)
    assert (again.id, members(again)) == (first.id, ids)


@pytest.mark.parametrize(
    "changes", [{"batch_max": 100}, {"batch_max": 2}, {"batch_max": 0}, {"format": Format.STANDARD}], ids=str
)
def test_changed_settings_leave_a_batch_as_it_is(world: World, changes: dict[str, Any]) -> None:
    """What was begun as a batch of three in one format ends as that, and what is new goes by the new settings."""
    webhook = batched(world)
    dispatch(world, webhook, 3)
    [first] = taken(world)
    end(world, first, a_failure(), wait=hours(1))
    changed = world.change(replace(webhook, options=replace(webhook.options, **changes)))
    ids = dispatch(world, changed, 1)
    sent = [*claim(world, ids), *claim_slots(world)]
    assert [each.delivery.id for each in sent] == ids
    end_or_settle(world, sent)
    world.age(hours(1))
    assert [each for each in claim(world) if each.delivery.id in members(first)] == []
    [again] = taken(world)
    assert (again.id, members(again), again.rendering) == (first.id, members(first), first.rendering)
    assert again.webhook.options == changed.options


def end_or_settle(world: World, claims: Sequence[Claim]) -> None:
    for each in claims:
        if isinstance(each, BatchClaim):
            end(world, each, SUCCESS)
        else:
            assert world.settle(each, SUCCESS)


def test_a_lost_worker_s_batch_is_taken_back_whole_and_sent_again_as_it_was(world: World) -> None:
    """However few the sweep takes at a time: all members are free together, in the same batch."""
    dispatch(world, batched(world), 3)
    [first] = batches(list(world.deliveries.claim_throttled(limit=9, slow=False, lease_slack=EXPIRED)))
    assert world.deliveries.reclaim_expired(limit=1) == 3
    [again] = taken(world)
    assert (again.id, members(again)) == (first.id, members(first))
    assert {(each.delivery.interruptions, each.delivery.budget_used) for each in again.members} == {(1, 0)}
    for each in stored(world, first):
        assert [attempt.batch_id for attempt in world.attempts(each.id)] == [first.id]


def test_a_result_that_comes_too_late_counts_for_none_of_them(world: World) -> None:
    """Once it was taken back the first POST's answer changes nothing."""
    dispatch(world, batched(world), 3)
    [first] = batches(list(world.deliveries.claim_throttled(limit=9, slow=False, lease_slack=EXPIRED)))
    world.deliveries.reclaim_expired(limit=9)
    taken(world)
    assert end(world, first, SUCCESS).fencing_keys == frozenset()


def test_a_claim_that_came_too_late_is_given_back_as_that_batch(world: World) -> None:
    """Nothing was sent, no attempt counts, and the batch stays."""
    dispatch(world, batched(world), 2)
    [first] = taken(world)
    end(world, first, None)
    [again] = taken(world)
    assert (again.id, members(again)) == (first.id, members(first))
    assert {each.attempt_count for each in stored(world, first)} == {0}


def test_the_first_of_a_batch_waits_for_others(world: World) -> None:
    """Until the wait is over nothing goes, and then what has come; the slot is when the first one's wait ends."""
    webhook = batched(world, wait_ms=60_000)
    dispatch(world, webhook, 1)
    found = world.deliveries.claim_throttled(limit=9, slow=False, lease_slack=NOW)
    assert list(found) == []
    [slot] = found.slots
    assert timedelta(seconds=50) < slot.wait <= timedelta(minutes=1)
    world.age(timedelta(seconds=30))
    dispatch(world, webhook, 1)
    assert claim_slots(world) == []
    world.age(timedelta(seconds=31))
    [batch] = taken(world)
    assert len(batch.members) == 2


def test_a_full_batch_goes_at_once(world: World) -> None:
    """The one that fills it brings the slot forward, and says so to whoever made it."""
    webhook = batched(world, wait_ms=60_000)
    dispatch(world, webhook, 2)
    assert claim_slots(world) == []
    with world.units() as unit:
        event = unit.events.append(an_event(workspace_id=webhook.workspace_id))
        unit.commit()
    assert world.deliveries.dispatch([event.id], limit=9).throttled
    [batch] = taken(world)
    assert len(batch.members) == 3
    assert claim_slots(world) == []


def test_one_that_is_not_enough_wakes_nobody(world: World) -> None:
    """The slot stays where it is."""
    webhook = batched(world, wait_ms=60_000)
    dispatch(world, webhook, 1)
    claim_slots(world)
    with world.units() as unit:
        event = unit.events.append(an_event(workspace_id=webhook.workspace_id))
        unit.commit()
    assert not world.deliveries.dispatch([event.id], limit=9).throttled


def test_new_events_don_t_wait_for_a_batch_s_next_attempt(world: World) -> None:
    """The endpoint's slot is when its failed batch is due again; what comes before that goes before that."""
    webhook = batched(world)
    dispatch(world, webhook, 2)
    [first] = taken(world)
    end(world, first, a_failure(), wait=hours(1))
    assert claim_slots(world) == []
    ids = dispatch(world, webhook, 2)
    [batch] = taken(world)
    assert members(batch) == ids


def test_a_replay_goes_in_batches_and_does_not_wait_for_a_batch_s_next_attempt(world: World) -> None:
    """What was sent alone or in batches before is sent in new ones."""
    webhook = batched(world)
    ids = dispatch(world, webhook, 3)
    [first] = taken(world)
    end(world, first, SUCCESS)
    for each in ids:
        world.read(webhook.workspace_id, each)
    with world.units() as unit:
        for each in ids:
            unit.deliveries.send_again(webhook.workspace_id, each)
        unit.commit()
    alone = list(claim(world, ids))
    assert [isinstance(each, BatchClaim) for each in alone] == [False] * 3
    assert [each.delivery.batch_id for each in alone] == [None] * 3


def test_a_test_goes_alone_and_so_do_its_further_attempts(world: World) -> None:
    """It is forced, passes the slots, and is never part of a batch."""
    webhook = batched(world)
    [test] = world.dispatched(
        world.event(webhook.workspace_id, event_type="webhook.test", target_webhook_id=webhook.id)
    )
    [first] = claim(world, [test.id])
    assert not isinstance(first, BatchClaim)
    assert world.settle(first, a_failure(), wait=NOW)
    dispatch(world, webhook, 1)
    assert list(claim(world)) == []
    again = {each.delivery.id: each for each in claim_slots(world)}
    assert len(again) == 2
    assert not isinstance(again[test.id], BatchClaim)


def test_what_was_begun_alone_ends_alone(world: World) -> None:
    """Switching batches on changes the bytes of nothing that was sent before."""
    webhook = endpoint(world, max_retries=20)
    ids = dispatch(world, webhook, 2)
    for each in claim(world, ids):
        assert world.settle(each, a_failure(), wait=NOW)
    world.change(replace(webhook, options=EndpointOptions(batch_max=10)))
    assert list(claim(world)) == []
    again = claim_slots(world)
    assert [isinstance(each, BatchClaim) for each in again] == [False, False]


def test_slots_go_on_while_more_waits(world: World) -> None:
    """A claim with few places takes as many batches, and the next takes the rest."""
    dispatch(world, batched(world), 9)
    assert [len(each.members) for each in taken(world, limit=2)] == [3, 3]
    assert [len(each.members) for each in taken(world)] == [3]
    assert claim_slots(world) == []


def test_a_disabled_endpoint_s_batches_are_skipped(world: World) -> None:
    """None of them is left behind, whether it was a batch before or not."""
    webhook = batched(world)
    ids = dispatch(world, webhook, 4)
    [first] = taken(world, limit=1)
    end(world, first, a_failure(), wait=hours(1))
    world.change(replace(webhook, enabled=False))
    assert {world.read(webhook.workspace_id, each).status for each in ids} == {DeliveryStatus.SKIPPED}


def test_large_payloads_share_a_body_as_far_as_it_goes(world: World) -> None:
    """Sixty events of 10,000 bytes don't fit into 256 KiB: they are cut, and all go."""
    webhook = batched(world, batch_max=60)
    with world.units() as unit:
        for _ in range(60):
            payload = b'{"event":"meeting.completed","title":"%s"}' % (b"x" * 9_900)
            unit.events.append(an_event(workspace_id=webhook.workspace_id, payload=payload))
        unit.commit()
    while world.deliveries.dispatch([], limit=1_000).more:
        pass
    sizes = [len(each.members) for each in taken(world)]
    assert sum(sizes) == 60
    assert max(sizes) * 9_900 < 262_144
    assert len(sizes) == 3
