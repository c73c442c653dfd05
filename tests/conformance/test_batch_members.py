"""What becomes of a batch's members once they part, and that a batch is one POST for its endpoint."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from noteflow_hooks.domain.batches import BEHIND_A_FAILED_ONE, NAMED_AS_FAILED
from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.options import EndpointOptions, Ordering
from tests.conformance.model.batching import (
    SUCCESS,
    batched,
    batches,
    end,
    erase,
    members,
    redeemed,
    stored,
    taken,
)
from tests.conformance.model.throttling import claim, claim_slots, dispatch
from tests.conformance.model.world import EXPIRED
from tests.support.builders import a_failure, an_attempt_result, hours

if TYPE_CHECKING:
    from noteflow_hooks.domain.webhooks import WebhookConfig
    from tests.conformance.model.world import World


def test_an_answer_that_it_is_too_large_halves_it(world: World) -> None:
    """After a 413 the members go into new batches of half the size at most; the attempt counts for each."""
    webhook = batched(world, batch_max=5)
    ids = dispatch(world, webhook, 5)
    [first] = taken(world)
    end(world, first, a_failure(status_code=413, error_message="HTTP 413"))
    again = redeemed(world)
    assert [len(each.members) for each in again] == [2, 2, 1]
    assert [key for each in again for key in members(each)] == ids
    assert first.id not in {each.id for each in again}
    for each in again:
        assert {one.delivery.budget_used for one in each.members} == {1}


def test_a_lone_event_s_413_is_an_ordinary_failure(world: World) -> None:
    """A batch of one is sent again as it is."""
    dispatch(world, batched(world), 1)
    [first] = taken(world)
    end(world, first, a_failure(status_code=413, error_message="HTTP 413"))
    [again] = taken(world)
    assert again.id == first.id


def test_half_of_half_goes_after_a_second_413(world: World) -> None:
    """Each 413 halves what is sent, down to single events."""
    dispatch(world, batched(world, batch_max=4), 4)
    sizes = []
    sent = taken(world)
    for _ in range(3):
        sizes.append([len(each.members) for each in sent])
        for each in sent:
            end(world, each, a_failure(status_code=413, error_message="HTTP 413"))
        sent = redeemed(world) if len(sent[0].members) > 1 else taken(world)
    assert sizes == [[4], [2, 2], [1, 1, 1, 1]]


def test_a_partial_answer_fails_the_named_ones_alone(world: World) -> None:
    """The rest has succeeded; those go into a new batch, one attempt less left."""
    dispatch(world, batched(world, partial=True), 3)
    [first] = taken(world)
    bad = first.members[1].delivery
    end(world, first, an_attempt_result(failed_events=frozenset({bad.event_id})))
    found = stored(world, first)
    assert [each.status for each in found] == [
        DeliveryStatus.SUCCEEDED,
        DeliveryStatus.PENDING,
        DeliveryStatus.SUCCEEDED,
    ]
    [attempt] = world.attempts(bad.id)
    assert (attempt.batch_id, attempt.status_code, attempt.error_message) == (first.id, 200, NAMED_AS_FAILED)
    [again] = redeemed(world)
    assert (members(again), again.id != first.id) == ([bad.id], True)
    assert again.members[0].delivery.budget_used == 1


def test_only_those_with_as_many_attempts_left_share_a_batch(world: World) -> None:
    """A new event does not join one that has failed before."""
    webhook = batched(world, partial=True)
    dispatch(world, webhook, 2)
    [first] = taken(world)
    bad = first.members[0].delivery
    end(world, first, an_attempt_result(failed_events=frozenset({bad.event_id})))
    claim(world)
    newer = dispatch(world, webhook, 2)
    assert sorted(map(members, taken(world))) == sorted([[bad.id], newer])


def test_a_batch_out_of_attempts_is_dead_as_a_whole(world: World) -> None:
    """All members have the same number of attempts, and end with the same one."""
    dispatch(world, batched(world, max_retries=1), 2)
    [batch] = taken(world)
    end(world, batch, a_failure())
    assert {each.status for each in stored(world, batch)} == {DeliveryStatus.DEAD}


def test_an_erased_member_dissolves_its_batch(world: World) -> None:
    """Erasure wins over the same bytes: the others go in a new batch without it."""
    webhook = batched(world)
    ids = [
        each.id
        for meeting in ("m-1", "m-2", "m-3")
        for each in world.dispatched(world.event(webhook.workspace_id, meeting_id=meeting))
    ]
    [first] = taken(world)
    end(world, first, a_failure())
    erase(world, webhook.workspace_id, "m-2")
    [again] = taken(world)
    assert (members(again), again.id != first.id) == ([ids[0], ids[2]], True)
    assert world.read(webhook.workspace_id, ids[1]).status is DeliveryStatus.SKIPPED


def test_one_erased_on_its_way_is_skipped_and_the_others_go_on(world: World) -> None:
    """Its claim finds the payload gone: that one ends, and the rest waits for no attempt."""
    webhook = batched(world)
    events = [world.event(webhook.workspace_id, meeting_id=meeting) for meeting in ("m-1", "m-2")]
    ids = [world.dispatched(each)[0].id for each in events]
    [first] = batches(list(world.deliveries.claim_throttled(limit=9, slow=False, lease_slack=EXPIRED)))
    erase(world, webhook.workspace_id, "m-1")
    world.deliveries.reclaim_expired(limit=9)
    [again] = taken(world)
    assert again.id == first.id
    assert again.reason_to_skip() is not None
    end(world, again, None)
    assert world.read(webhook.workspace_id, ids[0]).status is DeliveryStatus.SKIPPED
    [rest] = redeemed(world)
    assert (members(rest), rest.id != first.id) == ([ids[1]], True)


def test_no_answer_is_kept_that_may_repeat_what_was_erased(world: World) -> None:
    """The answer to a batch may repeat each of its events: erasing one takes it from all, stored or yet to come."""
    webhook = batched(world)
    for meeting in ("m-1", "m-2"):
        world.dispatched(world.event(webhook.workspace_id, meeting_id=meeting))
    [first] = taken(world)
    end(world, first, a_failure(response_body="you said: Weekly"))
    [again] = taken(world)
    erase(world, webhook.workspace_id, "m-1")
    end(world, again, an_attempt_result(response_body="you said: Weekly"))
    for each in stored(world, first):
        assert each.response_body is None
        assert [attempt.response_body for attempt in world.attempts(each.id)] == [None, None]


def test_a_batch_counts_once_against_the_cap(world: World) -> None:
    """Two at once are two batches, however many events that is; each that ends makes room for one."""
    webhook = batched(world, max_concurrency=2)
    dispatch(world, webhook, 9)
    first, second = taken(world)
    assert claim_slots(world) == []
    end(world, first, SUCCESS)
    [third] = taken(world)
    assert [len(each.members) for each in (first, second, third)] == [3, 3, 3]


def test_a_batch_counts_once_against_the_rate(world: World) -> None:
    """One a minute is one batch a minute."""
    webhook = batched(world, rate_limit_per_s=1 / 60)
    dispatch(world, webhook, 6)
    [first] = taken(world)
    assert len(first.members) == 3
    assert claim_slots(world) == []
    world.age(timedelta(minutes=1))
    assert len(taken(world)) == 1


def test_a_batch_is_one_result_for_the_breaker(breaking: World) -> None:
    """Three batches of three that fail open it, and not the first one; the probe is a batch, too."""
    webhook = batched(breaking)
    dispatch(breaking, webhook, 12)
    sent = taken(breaking, limit=3)
    for number, each in enumerate(sent, 1):
        end(breaking, each, a_failure(), wait=hours(1))
        assert health(breaking, webhook).failures == number
    assert health(breaking, webhook).is_open
    assert claim_slots(breaking) == []
    breaking.age(hours(1))
    [probe] = taken(breaking)
    end(breaking, probe, SUCCESS)
    assert not health(breaking, webhook).is_open


def health(world: World, webhook: WebhookConfig) -> Any:  # noqa: ANN401 - an endpoint's health
    with world.units() as unit:
        return unit.webhooks.get_health([webhook.id])[webhook.id]


def test_a_partial_answer_is_a_success_of_the_endpoint(breaking: World) -> None:
    """Where at least one member has succeeded it is well; where all have failed it is not."""
    webhook = batched(breaking, partial=True)
    dispatch(breaking, webhook, 3)
    [batch] = taken(breaking)
    named = frozenset(each.delivery.event_id for each in batch.members[:2])
    end(breaking, batch, an_attempt_result(failed_events=named), wait=hours(1))
    found = breaking.under(breaker_failures=3)
    with found.units() as unit:
        assert all(each.failures == 0 for each in unit.webhooks.get_health([webhook.id]).values())


def test_one_that_an_answer_names_keeps_the_later_ones_of_its_meeting_back(world: World) -> None:
    """In an order, a batch has each meeting's head: what is behind a failed one waits for its next attempt."""
    options = EndpointOptions(batch_max=10, batch_partial=True, ordering=Ordering.PER_MEETING)
    webhook = batched(world, options=options)
    first, other, later = (
        world.dispatched(world.event(webhook.workspace_id, meeting_id=meeting))[0].id for meeting in ("a", "b", "a")
    )
    [batch] = taken(world)
    assert set(members(batch)) == {first, other}
    named = {each.delivery.event_id for each in batch.members if each.delivery.id == first}
    end(world, batch, an_attempt_result(failed_events=frozenset(named)))
    [again] = redeemed(world)
    assert members(again) == [first]
    end(world, again, SUCCESS)
    [rest] = taken(world)
    assert members(rest) == [later]


def test_in_a_batch_from_before_the_order_what_is_behind_a_failed_one_fails_too(world: World) -> None:
    """The receiver has taken the later one, and gets it again behind the earlier one."""
    webhook = batched(world, batch_max=10, partial=True)
    first, second, other, third = (
        world.dispatched(world.event(webhook.workspace_id, meeting_id=meeting))[0].id for meeting in "aaba"
    )
    [batch] = taken(world)
    end(world, batch, a_failure())
    world.change(replace(webhook, options=replace(webhook.options, ordering=Ordering.PER_MEETING)))
    [again] = taken(world)
    assert (again.id, set(members(again))) == (batch.id, {first, second, other, third})
    named = {each.delivery.event_id for each in again.members if each.delivery.id == second}
    end(world, again, an_attempt_result(failed_events=frozenset(named)))
    found = {key: world.read(webhook.workspace_id, key) for key in (first, second, other, third)}
    assert {key for key, each in found.items() if each.status is DeliveryStatus.SUCCEEDED} == {first, other}
    assert [found[key].error_message for key in (second, third)] == [NAMED_AS_FAILED, BEHIND_A_FAILED_ONE]
    [head] = redeemed(world)
    assert members(head) == [second]
    end(world, head, SUCCESS)
    [rest] = taken(world)
    assert members(rest) == [third]
