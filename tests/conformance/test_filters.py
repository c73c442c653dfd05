"""What becomes of deliveries by what their endpoints' filters say, in either store."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from noteflow_hooks.domain.batches import BatchClaim
from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.filters import (
    ERROR_LIMIT,
    NOT_MATCHED,
    UNAVAILABLE,
    FilterAnswer,
    FilterTrouble,
    HeldBack,
    Verdict,
)
from noteflow_hooks.domain.options import EndpointOptions
from noteflow_hooks.domain.paging import DeliveryFilter
from noteflow_hooks.domain.skipping import SkipReason
from tests.conformance.model.replaying import begin, read, step
from tests.conformance.model.world import EXPIRED, SLACK
from tests.support.builders import EXACT, a_failure, an_attempt_result

if TYPE_CHECKING:
    from uuid import UUID

    from noteflow_hooks.domain.deliveries import AttemptResult, Claim, WebhookDelivery
    from noteflow_hooks.domain.webhooks import WebhookConfig
    from tests.conformance.model.world import World

FAILED = Verdict(FilterAnswer.ERROR, "a field is missing: 'owner'")
ABSENT = Verdict(FilterAnswer.UNAVAILABLE, "no library")


def filtering(world: World, *, text: str = "data.a", workspace_id: UUID | None = None) -> WebhookConfig:
    """Store an endpoint with a filter, that gets two attempts."""
    owner = workspace_id if workspace_id is not None else world.workspace()
    return world.webhook(owner, max_retries=2, options=EndpointOptions(filter=text))


def settle(world: World, *results: tuple[Claim, AttemptResult | Verdict]) -> None:
    """Settle claims together, as a worker does."""
    settlements = [claim.settlement(result, policy=EXACT, draw=lambda: 0.5) for claim, result in results]
    assert len(world.deliveries.settle(settlements).fencing_keys) == len(settlements)


def due(world: World, webhook: WebhookConfig, *, event_type: str = "meeting.completed") -> WebhookDelivery:
    """Store an event with its delivery to the endpoint."""
    made = world.dispatched(world.event(webhook.workspace_id, event_type=event_type))
    [delivery] = [each for each in made if each.webhook_id == webhook.id]
    return delivery


def settled(world: World, webhook: WebhookConfig, result: AttemptResult | Verdict) -> WebhookDelivery:
    """Store an event, settle its delivery so, and return that as it is stored."""
    delivery = due(world, webhook)
    settle(world, (world.claim(delivery.id), result))
    return world.read(webhook.workspace_id, delivery.id)


def undelivered(world: World, workspace_id: UUID) -> list[UUID]:
    with world.units() as unit:
        page = unit.deliveries.undelivered_page(workspace_id, DeliveryFilter(), limit=99)
        assert unit.deliveries.count_undelivered(workspace_id, DeliveryFilter()) == len(page)
    return [each.id for each in page]


def trouble(world: World, webhook: WebhookConfig) -> FilterTrouble | None:
    with world.units() as unit:
        return unit.webhooks.get_filter_trouble([webhook.id]).get(webhook.id)


def claimed_again(world: World) -> list[Claim]:
    return list(world.deliveries.claim_throttled(limit=9, slow=False, lease_slack=SLACK))


def claimed_in_any_way(world: World) -> list[Claim]:
    return [*world.deliveries.claim([], limit=9, lease_slack=SLACK), *claimed_again(world)]


def test_what_a_filter_holds_back_is_skipped_without_an_attempt_and_owed_to_nobody(world: World) -> None:
    """It has its row with the reason, says nothing of the endpoint, and isn't listed as undelivered."""
    webhook = filtering(world)
    delivery = settled(world, webhook, NOT_MATCHED)
    assert (delivery.status, delivery.skip_reason) == (DeliveryStatus.SKIPPED, SkipReason.FILTERED)
    assert (delivery.attempt_count, world.attempts(delivery.id)) == (0, [])
    assert delivery.error_message == "The endpoint's filter does not match"
    assert undelivered(world, webhook.workspace_id) == []
    assert trouble(world, webhook) is None
    with world.units() as unit:
        assert unit.webhooks.get_health([webhook.id])[webhook.id].is_clean
        assert unit.deliveries.count(webhook.workspace_id, DeliveryFilter(status=DeliveryStatus.SKIPPED)) == 1


def test_what_a_filter_fails_on_is_undelivered_and_shows_on_the_endpoint(world: World) -> None:
    """Each of a group counts, and the last one's reason is kept; a breaker learns nothing of it."""
    webhook, other = filtering(world), filtering(world)
    claims = [world.claim(due(world, each).id) for each in (webhook, webhook, other)]
    last = Verdict(FilterAnswer.ERROR, "x" * 1000)
    settle(world, (claims[0], FAILED), (claims[1], last), (claims[2], FAILED))
    delivery = world.read(webhook.workspace_id, claims[0].delivery.id)
    assert (delivery.status, delivery.skip_reason) == (DeliveryStatus.SKIPPED, SkipReason.FILTER_FAILED)
    assert delivery.error_message == "The endpoint's filter failed: a field is missing: 'owner'"
    assert set(undelivered(world, webhook.workspace_id)) == {each.delivery.id for each in claims[:2]}
    assert trouble(world, webhook) == FilterTrouble(2, "x" * ERROR_LIMIT)
    assert trouble(world, other) == FilterTrouble(1, FAILED.reason)
    settled(world, other, Verdict(FilterAnswer.ERROR, "another"))
    assert trouble(world, other) == FilterTrouble(2, "another")
    with world.units() as unit:
        assert unit.webhooks.get_health([webhook.id])[webhook.id].is_clean


def test_errors_are_stored_beside_results_of_every_kind(world: World) -> None:
    """A group of a worker's may have them all."""
    webhook = filtering(world)
    claims = [world.claim(due(world, webhook).id) for _ in range(5)]
    results: list[AttemptResult | Verdict] = [FAILED, NOT_MATCHED, an_attempt_result(), a_failure(), ABSENT]
    settle(world, *zip(claims, results, strict=True))
    stored = [world.read(webhook.workspace_id, each.delivery.id) for each in claims]
    assert [each.status.value for each in stored] == ["skipped", "skipped", "succeeded", "pending", "pending"]
    assert trouble(world, webhook) == FilterTrouble(1, FAILED.reason)
    with world.units() as unit:
        assert unit.webhooks.get_health([webhook.id])[webhook.id].failures == 1


def test_an_error_whose_claim_was_lost_counts_for_nothing(world: World) -> None:
    """As results of lost claims do."""
    webhook = filtering(world)
    claim = world.claim(due(world, webhook).id, slack=EXPIRED)
    assert world.deliveries.reclaim_expired(limit=9) == 1
    settlement = claim.settlement(FAILED, policy=EXACT, draw=lambda: 0.5)
    assert world.deliveries.settle([settlement]).fencing_keys == frozenset()
    assert trouble(world, webhook) is None


def test_another_filter_starts_without_errors(world: World) -> None:
    """What else is changed leaves the count as it is."""
    webhook = filtering(world)
    settled(world, webhook, FAILED)
    renamed = world.change(replace(webhook, name="Another"))
    assert trouble(world, webhook) == FilterTrouble(1, FAILED.reason)
    world.change(replace(renamed, options=EndpointOptions(filter="data.b")))
    assert trouble(world, webhook) is None


def test_where_no_worker_can_ask_the_delivery_waits_and_says_so(world: World) -> None:
    """It uses no attempt, is pending, and has its next look later."""
    webhook = filtering(world)
    delivery = settled(world, webhook, ABSENT)
    assert (delivery.status, delivery.attempt_count) == (DeliveryStatus.PENDING, 0)
    assert (delivery.error_message, delivery.skip_reason) == (UNAVAILABLE, None)
    assert undelivered(world, webhook.workspace_id) == [delivery.id]
    [wait] = world.deliveries.waits([delivery.id]).values()
    assert timedelta(seconds=4) < wait < timedelta(minutes=10)
    with world.units() as unit:
        reason = unit.deliveries.reasons([delivery])[delivery.id]
    assert reason.startswith("filter_unavailable: no worker could evaluate the endpoint's filter; asked again at ")
    world.age(timedelta(minutes=11))
    assert world.claim(delivery.id).asks_filter


def test_a_verdict_stands_over_retries_and_later_changes(world: World) -> None:
    """Also where the first attempt failed by a fault of our own, and where there was no filter before it."""
    webhook = filtering(world)
    first = settled(world, webhook, a_failure())
    ours = settled(world, webhook, a_failure(status_code=None, error_kind="internal", error_message="Out of order"))
    world.change(replace(webhook, options=EndpointOptions(filter="false")))
    plain = filtering(world, text="")
    before = settled(world, plain, a_failure())
    world.change(replace(plain, options=EndpointOptions(filter="false")))
    world.age(timedelta(hours=1))
    asked = {each.delivery.id: each.asks_filter for each in claimed_in_any_way(world)}
    assert asked == {each.id: False for each in (first, ours, before)}


def test_an_attempt_that_was_cut_off_has_the_filter_asked_again(world: World) -> None:
    """Its worker may have ended before it asked."""
    webhook = filtering(world)
    delivery = due(world, webhook)
    assert world.claim(delivery.id, slack=EXPIRED).asks_filter
    assert world.deliveries.reclaim_expired(limit=9) == 1
    assert world.claim(delivery.id).asks_filter


@pytest.mark.parametrize("event_type", ["webhook.failing", "webhook.disabled", "webhook.certificate_expiring"])
def test_the_system_s_own_events_pass_every_filter(world: World, event_type: str) -> None:
    """Filters apply to meetings' events and the workspaces' own."""
    webhook = world.webhook(world.workspace(), events=(event_type,), options=EndpointOptions(filter="false"))
    assert not world.claim(due(world, webhook, event_type=event_type).id).asks_filter


def test_a_test_and_a_single_redelivery_pass_every_filter(world: World) -> None:
    """A redelivery does for as long as it takes."""
    webhook = filtering(world)
    event = world.event(webhook.workspace_id, event_type="webhook.test", target_webhook_id=webhook.id, meeting_id=None)
    [tested] = world.dispatched(event)
    assert not world.claim(tested.id).asks_filter
    delivery = settled(world, webhook, NOT_MATCHED)
    world.send_again(webhook.workspace_id, delivery.id)
    claim = world.claim(delivery.id)
    assert not claim.asks_filter
    settle(world, (claim, a_failure()))
    world.age(timedelta(hours=1))
    assert not world.claim(delivery.id).asks_filter


def test_a_default_replay_leaves_out_what_filters_have_held_back(world: World) -> None:
    """What they have failed on is in it, and asked about anew."""
    webhook = filtering(world)
    settled(world, webhook, NOT_MATCHED)
    failed = settled(world, webhook, FAILED)
    replay = begin(world, webhook.workspace_id)
    assert (replay.matched, step(world)) == (1, 1)
    [claim] = claimed_again(world)
    assert (claim.delivery.id, claim.asks_filter) == (failed.id, True)


def test_a_replay_of_skipped_ones_asks_their_filters_anew(world: World) -> None:
    """Also where attempts were made before; the new verdict stands again."""
    webhook = filtering(world)
    filtered = settled(world, webhook, NOT_MATCHED)
    tried = settled(world, webhook, a_failure())
    disabled = world.change(replace(webhook, enabled=False))
    world.change(replace(disabled, enabled=True))
    assert world.read(webhook.workspace_id, tried.id).skip_reason is SkipReason.DISABLED
    replay = begin(world, webhook.workspace_id, status=DeliveryStatus.SKIPPED)
    assert (replay.matched, step(world)) == (2, 2)
    claims = claimed_again(world)
    assert {each.delivery.id for each in claims if each.asks_filter} == {filtered.id, tried.id}
    settle(world, *((each, a_failure()) for each in claims))
    world.age(timedelta(hours=1))
    assert not any(world.claim(each.id).asks_filter for each in (filtered, tried))


def test_a_replay_takes_what_was_held_back_unasked_where_it_is_told_so(world: World) -> None:
    """What was skipped for another reason is asked about all the same; the replay shows what it was told."""
    webhook = filtering(world)
    filtered, failed = settled(world, webhook, NOT_MATCHED), settled(world, webhook, FAILED)
    replay = begin(world, webhook.workspace_id, include_filtered=True)
    assert (replay.matched, step(world)) == (2, 2)
    assert read(world, replay).include_filtered
    assert {each.delivery.id: each.asks_filter for each in claimed_again(world)} == {
        filtered.id: False,
        failed.id: True,
    }


def test_of_what_was_sent_before_a_replay_the_verdict_stands(world: World) -> None:
    """But of one that never came as far as an attempt."""
    webhook = filtering(world)
    dead = settled(world, webhook, a_failure(status_code=410, error_message="HTTP 410"))
    lost = due(world, webhook)
    webhook = world.change(replace(webhook, enabled=True, disabled_reason=None))
    for _ in range(5):
        world.deliveries.claim([lost.id], limit=1, lease_slack=EXPIRED)
        world.deliveries.reclaim_expired(limit=9)
    statuses = {world.read(webhook.workspace_id, each.id).status for each in (dead, lost)}
    assert statuses <= {DeliveryStatus.DEAD, DeliveryStatus.SKIPPED}
    begin(world, webhook.workspace_id)
    step(world)
    asked = {each.delivery.id: each.asks_filter for each in claimed_again(world)}
    assert asked == {dead.id: False, lost.id: True}


def test_the_newest_events_that_filters_apply_to_are_found_by_type(world: World) -> None:
    """Newest first, of the workspace alone; erased ones are among them."""
    workspace_id, other = world.workspace(), world.workspace()
    kinds = ["meeting.completed", "summary.generated", "webhook.failing", "custom.order", "meeting.completed"]
    events = [world.event(workspace_id, event_type=kind) for kind in kinds]
    world.event(other)
    with world.units() as unit:
        found = unit.events.newest_filterable(workspace_id, limit=9)
        assert [each.id for each in found] == [events[nth].id for nth in (4, 3, 1, 0)]
        own = unit.events.newest_filterable(workspace_id, ["meeting.completed", "webhook.failing"], limit=1)
        assert [each.id for each in own] == [events[4].id]


def test_a_batch_of_which_a_member_is_held_back_is_dissolved_and_the_others_are_asked_no_more(world: World) -> None:
    """They go with those alone that have passed, too: others might be held back, over and over."""
    webhook = world.webhook(world.workspace(), options=EndpointOptions(filter="data.a", batch_max=3))
    events = [world.event(webhook.workspace_id) for _ in range(3)]
    world.deliveries.dispatch([each.id for each in events], limit=9)
    [batch] = claimed_again(world)
    assert isinstance(batch, BatchClaim)
    assert batch.asks_filter
    first = batch.members[0].delivery.id
    settlements = batch.settlements(HeldBack({first: NOT_MATCHED}), policy=EXACT, draw=lambda: 0.5)
    assert len(world.deliveries.settle(settlements).fencing_keys) == 3
    stored = {each.delivery.id: world.read(webhook.workspace_id, each.delivery.id) for each in batch.members}
    assert [each.status.value for each in stored.values()] == ["skipped", "pending", "pending"]
    assert stored[first].skip_reason is SkipReason.FILTERED
    assert {each.attempt_count for each in stored.values()} == {0}
    world.dispatched(world.event(webhook.workspace_id))
    again = [each for each in claimed_in_any_way(world) if isinstance(each, BatchClaim)]
    passed = next(each for each in again if not each.asks_filter)
    assert {each.delivery.id for each in passed.members} == set(stored) - {first}
    assert passed.id != batch.id
