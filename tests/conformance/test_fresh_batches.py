"""Batches that are leased as their deliveries are made, and results that count for a batch as a whole."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from noteflow_hooks.domain.batches import BatchClaim
from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.options import EndpointOptions, Format, Ordering
from noteflow_hooks.domain.skipping import SkipReason
from noteflow_hooks.domain.whole_batches import FreshMembers, WholeSuccess, whole_success
from noteflow_hooks.executor.batch_posts import rendered_batch
from tests.conformance.model.batching import SUCCESS, batched, batches, end, erase, members, stored, taken
from tests.conformance.model.throttling import claim, endpoint
from tests.conformance.model.world import EXPIRED, SLACK
from tests.support.builders import EXACT, NOON, a_failure, an_attempt_result, an_event, hours

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from noteflow_hooks.domain.ports.delivery_store import Dispatched, Settled
    from noteflow_hooks.domain.webhooks import WebhookConfig
    from tests.conformance.model.world import World

PLENTY = 1_000


def events(world: World, webhook: WebhookConfig, count: int, **kwargs: Any) -> None:  # noqa: ANN401 - an event's fields
    """Store so many events for an endpoint, one after the other."""
    with world.units() as unit:
        for _ in range(count):
            unit.events.append(an_event(workspace_id=webhook.workspace_id, **kwargs))
        unit.commit()


def made(
    world: World, *, claims: int = PLENTY, together: bool = True, slack: timedelta = SLACK, limit: int = PLENTY
) -> Dispatched:
    """Dispatch what waits, and claim so many of it, whole batches among them."""
    return world.deliveries.dispatch([], limit=limit, claim=claims, batches=together, lease_slack=slack)


def fresh(world: World, webhook: WebhookConfig, count: int, **kwargs: Any) -> list[BatchClaim]:  # noqa: ANN401 - as above
    """Store so many events, and claim their batches as they are dispatched."""
    events(world, webhook, count)
    return batches(made(world, **kwargs).claims)


def end_whole(world: World, batch: BatchClaim, result: Any = SUCCESS) -> Settled:  # noqa: ANN401 - an attempt's result
    """Settle a batch by one result for all, as a worker does where all have succeeded."""
    whole = whole_success(batch, result, policy=EXACT)
    assert whole is not None
    return world.deliveries.settle([whole])


def test_whole_batches_are_claimed_as_their_deliveries_are_made(world: World) -> None:
    """Seven events, three to a batch: full ones and the rest, in their order, and nothing is left to slots."""
    webhook = batched(world)
    found = fresh(world, webhook, 7)
    assert [len(each.members) for each in found] == [3, 3, 1]
    for each in found:
        assert {(one.status, one.batch_id) for one in stored(world, each)} == {(DeliveryStatus.SENDING, each.id)}
        assert {one.delivery.claim_no for one in each.members} == {1}
    assert (taken(world), list(claim(world))) == ([], [])


@pytest.mark.parametrize("chosen", [Format.NOTEFLOW, Format.STANDARD, Format.CLOUDEVENTS])
def test_a_fresh_batch_has_the_same_bytes_at_its_next_attempt(world: World, chosen: Format) -> None:
    """Then it is claimed as any batch: by its row, and its members one by one."""
    webhook = batched(world, options=EndpointOptions(batch_max=4, format=chosen))
    events(world, webhook, 2, meeting_id='"Ünï" \\u0041')
    events(world, webhook, 2)
    [first] = batches(made(world).claims)
    end(world, first, a_failure())
    [again] = taken(world)
    assert (again.id, members(again), again.rendering) == (first.id, members(first), first.rendering)
    assert rendered_batch(again) == rendered_batch(first)
    assert [each.rank for each in again.members] == [each.rank for each in first.members]
    assert [each.content for each in again.members] == [each.content for each in first.members]


def test_only_those_who_ask_for_batches_claim_them(world: World) -> None:
    """By default what goes together waits for its endpoint's slots; the report says that there is such traffic."""
    webhook = batched(world)
    events(world, webhook, 3)
    found = made(world, together=False)
    assert (found.claims, found.delivery_ids, found.batched) == ((), (), True)
    assert [len(each.members) for each in taken(world)] == [3]
    events(world, endpoint(world), 1)
    found = made(world)
    assert ([type(each) is BatchClaim for each in found.claims], found.batched) == ([False], False)


def test_what_is_to_wait_for_others_waits(world: World) -> None:
    """Full batches go at once, and the rest once its wait is over, with what has come meanwhile."""
    webhook = batched(world, wait_ms=60_000)
    assert [len(each.members) for each in fresh(world, webhook, 5)] == [3]
    assert taken(world) == []
    assert fresh(world, webhook, 1) == taken(world)[1:]


def test_an_endpoint_s_cap_counts_batches(world: World) -> None:
    """Two may be under way: what is beyond waits in its slots, and comes before what is newer."""
    webhook = batched(world, max_concurrency=2)
    first, second = fresh(world, webhook, 7)
    assert taken(world) == []
    assert fresh(world, webhook, 3) == []
    end_whole(world, first)
    end_whole(world, second)
    assert [len(each.members) for each in taken(world)] == [3, 1]


def test_no_more_are_claimed_than_asked_for(world: World) -> None:
    """Each batch is one of them, and a single delivery is one, too."""
    events(world, batched(world), 7)
    alone = endpoint(world)
    events(world, alone, 2)
    found = made(world, claims=2).claims
    assert len(found) == 2
    left = [*taken(world), *claim(world)]
    assert sum(len(each.members) if isinstance(each, BatchClaim) else 1 for each in [*found, *left]) == 9


@pytest.mark.parametrize(
    "held",
    [
        {"rate_limit_per_s": 1.0},
        {"paused_at": NOON},
        {"options": EndpointOptions(batch_max=3, ordering=Ordering.PER_MEETING)},
    ],
    ids=["a rate", "a pause", "an order"],
)
def test_what_else_throttles_an_endpoint_throttles_its_batches(world: World, held: dict[str, Any]) -> None:
    """Its slots keep that."""
    webhook = batched(world, **held)
    assert fresh(world, webhook, 6) == []


def test_an_open_breaker_holds_batches_back(world: World) -> None:
    """They wait in its slots, as all does."""
    webhook = batched(world)
    for _ in range(50):
        for each in fresh(world, webhook, 1):
            end(world, each, a_failure(), wait=hours(1))
    assert fresh(world, webhook, 3) == []


def test_what_might_be_too_large_for_a_body_is_put_together_with_more_care(world: World) -> None:
    """Thirty of ten KiB don't fit: none is leased as it is made, and in slots it goes in two batches."""
    webhook = batched(world, batch_max=30)
    events(world, webhook, 30, payload=b'{"title":"%s"}' % (b"x" * 10_000))
    assert made(world).claims == ()
    found = taken(world)
    assert sum(len(each.members) for each in found) == 30
    assert len(found) > 1


def test_a_test_is_part_of_no_fresh_batch(world: World) -> None:
    """It goes by itself, as it does past slots."""
    webhook = batched(world)
    events(world, webhook, 1, target_webhook_id=webhook.id, event_type="webhook.test")
    events(world, webhook, 2)
    found = made(world).claims
    assert sorted(len(each.members) if isinstance(each, BatchClaim) else 0 for each in found) == [0, 2]


def test_a_lost_worker_s_fresh_batch_comes_again_as_it_was(world: World) -> None:
    """Its row was stored with the deliveries: whatever died, the same members go under the same id."""
    [first] = fresh(world, batched(world), 3, slack=EXPIRED)
    assert world.deliveries.reclaim_expired(limit=1) == 3
    [again] = taken(world)
    assert (again.id, members(again), rendered_batch(again)) == (first.id, members(first), rendered_batch(first))
    assert end_whole(world, first).fencing_keys == frozenset(), "a stale result counts"


def test_one_result_counts_for_all_members(world: World) -> None:
    """Each has its row and its attempt, under the batch's id; the result is stored under the first one's claim."""
    [batch] = fresh(world, batched(world), 3)
    kept = end_whole(world, batch, an_attempt_result(response_body="thanks")).fencing_keys
    assert batch.delivery.id in {key for key, _ in kept}
    for each in stored(world, batch):
        assert (each.status, each.batch_id, each.attempt_count) == (DeliveryStatus.SUCCEEDED, batch.id, 1)
        assert (each.response_body, each.status_code, each.error_message) == ("thanks", 200, None)
        [attempt] = world.attempts(each.id)
        assert (attempt.batch_id, attempt.status_code, attempt.response_body) == (batch.id, 200, "thanks")


def test_a_whole_batch_that_comes_after_failures_is_settled_as_one(world: World) -> None:
    """Its members have the same history, and a slow success counts for its endpoint's health as any."""
    [first] = fresh(world, batched(world), 3)
    end(world, first, a_failure())
    [again] = taken(world)
    end_whole(world, again, SUCCESS._replace(duration_ms=5_000))
    assert {(each.status, each.attempt_count, each.budget_used) for each in stored(world, again)} == {
        (DeliveryStatus.SUCCEEDED, 2, 1)
    }
    assert world.deliveries.settle([]).fencing_keys == frozenset()


def test_the_answer_is_not_kept_where_a_member_was_erased_meanwhile(world: World) -> None:
    """It may repeat what was erased, for all of them; the deliveries have succeeded all the same."""
    webhook = batched(world)
    events(world, webhook, 2, meeting_id="kept")
    events(world, webhook, 1, meeting_id="erased")
    [batch] = batches(made(world).claims)
    erase(world, webhook.workspace_id, "erased")
    end_whole(world, batch, an_attempt_result(response_body="thanks"))
    for each in stored(world, batch):
        assert (each.status, each.response_body) == (DeliveryStatus.SUCCEEDED, None)
        assert [attempt.response_body for attempt in world.attempts(each.id)] == [None]


def test_results_of_batches_are_stored_beside_others(world: World) -> None:
    """A success as a whole, a failure, and a delivery that went alone, in one call."""
    whole, failed = fresh(world, batched(world, batch_max=2), 4)
    events(world, endpoint(world), 1)
    [alone] = made(world).claims
    one = whole_success(whole, SUCCESS, policy=EXACT)
    assert isinstance(one, WholeSuccess)
    others = failed.settlements(a_failure(), policy=EXACT, draw=lambda: 0.5)
    single = alone.settlement(SUCCESS, policy=EXACT, draw=lambda: 0.5)
    kept = world.deliveries.settle([one, *others, single]).fencing_keys
    assert {each.fencing_key for each in (one, *others, single)} <= kept


def test_members_that_differ_have_no_result_in_common(world: World) -> None:
    """A failure, a filter's verdict, names in the answer, or another history: then each has its own."""
    [batch] = fresh(world, batched(world, partial=True), 3)
    assert whole_success(batch, a_failure(), policy=EXACT) is None
    assert whole_success(batch, None, policy=EXACT) is None
    named = SUCCESS._replace(failed_events=frozenset({batch.members[0].delivery.event_id}))
    assert whole_success(batch, named, policy=EXACT) is None
    members_of = list(batch.members)
    members_of[1] = replace(members_of[1], delivery=members_of[1].delivery._replace(attempt_count=4))
    mixed = BatchClaim(
        batch.delivery,
        batch.webhook,
        payload=batch.payload,
        id=batch.id,
        members=tuple(members_of),
        rendering=batch.rendering,
    )
    assert whole_success(mixed, SUCCESS, policy=EXACT) is None


def test_a_fresh_batch_of_which_a_type_is_no_longer_subscribed_to_is_not_sent(world: World) -> None:
    """The endpoint is read with the claim; its other members go into new batches."""
    webhook = batched(world)
    [batch] = fresh(world, webhook, 3)
    assert batch.reason_to_skip() is None
    other = replace(batch.webhook, events=())
    changed = type(batch)(
        batch.delivery,
        other,
        payload=batch.payload,
        id=batch.id,
        members=_for(batch, other),
        rendering=batch.rendering,
    )
    found = changed.reason_to_skip()
    assert found is not None
    assert found.reason is SkipReason.NOT_SUBSCRIBED


def _for(batch: BatchClaim, webhook: WebhookConfig) -> Sequence[Any]:
    if isinstance(batch.members, FreshMembers):
        return FreshMembers(batch.members.columns, webhook)
    return tuple(replace(each, webhook=webhook) for each in batch.members)
