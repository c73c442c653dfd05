"""Gates: what an endpoint's cap, rate, breaker, pause and lane hold back, and how it goes in the endpoint's turns."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from noteflow_hooks.domain.deliveries import DeliveryStatus, Settlement
from noteflow_hooks.domain.health.scheduling import BURST
from tests.conformance.model.world import EXPIRED, SLACK
from tests.support.builders import EXACT, a_failure, an_attempt_result, an_event, hours

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from noteflow_hooks.domain.deliveries import AttemptResult, Claim
    from noteflow_hooks.domain.ports.delivery_store import Claimed, Settled
    from noteflow_hooks.domain.webhooks import WebhookConfig
    from tests.conformance.model.world import World

MINUTE = timedelta(minutes=1)


def endpoint(world: World, **overrides: Any) -> WebhookConfig:  # noqa: ANN401 - an endpoint's fields
    return world.webhook(world.workspace(), **overrides)


def dispatch(world: World, webhook: WebhookConfig, count: int = 1) -> list[UUID]:
    """Store so many events for an endpoint and return its new deliveries, those that are held too, oldest first."""
    with world.units() as unit:
        events = [unit.events.append(an_event(workspace_id=webhook.workspace_id)) for _ in range(count)]
        unit.commit()
    while world.deliveries.dispatch([each.id for each in events], limit=100_000).more:
        pass
    with world.units() as unit:
        return [unit.deliveries.get_by_event(each.id)[0].id for each in events]


def claim(world: World, ids: Sequence[UUID] = (), *, limit: int = 500, slack: timedelta = SLACK) -> Claimed:
    return world.deliveries.claim(ids, limit=limit, lease_slack=slack)


def turn(world: World, *, limit: int = 500, slow: bool = False) -> list[Claim]:
    return list(world.deliveries.claim_throttled(limit=limit, slow=slow, lease_slack=SLACK))


def settle(world: World, claims: Sequence[Claim], result: AttemptResult) -> Settled:
    settlements = []
    for each in claims:
        after, wait = each.delivery.attempted(result, max_retries=20, policy=EXACT, draw=0.5)
        settlements.append(Settlement(after, wait=wait and hours(9), attempt=result))
    return world.deliveries.settle(settlements)


def fail(world: World, webhook: WebhookConfig, count: int) -> Settled:
    """Have so many of an endpoint's attempts fail, together."""
    ids = dispatch(world, webhook, count)
    return settle(world, list(claim(world, ids, limit=count)), a_failure())


def open_breaker(world: World, webhook: WebhookConfig) -> None:
    fail(world, webhook, 3)


@pytest.fixture
def breaking(world: World) -> World:
    """Offer a store in which three failures in a row open a breaker, for a minute at first and for three at most."""
    return world.under(breaker_failures=3, breaker_open=MINUTE, breaker_open_max=3 * MINUTE)


def test_an_endpoint_gets_no_more_at_once_than_its_cap(world: World) -> None:
    """Of five due deliveries two go; the rest is held, and two more go once the first two have ended."""
    webhook = endpoint(world, max_concurrency=2)
    ids = dispatch(world, webhook, 5)
    first = claim(world, ids)
    assert (len(first), first.throttled) == (2, 3)
    assert turn(world) == []
    assert settle(world, list(first), an_attempt_result()).slots[0].wait <= timedelta(0)
    assert len(turn(world)) == 2


def test_the_systems_own_cap_counts_where_the_endpoint_names_none(world: World) -> None:
    """Three at once for everyone, by the rules."""
    dispatch(world, endpoint(world), 5)
    assert len(claim(world.under(concurrency=3))) == 3


def test_a_lower_place_in_the_named_ones_is_no_way_past_the_cap(world: World) -> None:
    """Two claims one after the other share one cap."""
    ids = dispatch(world, endpoint(world, max_concurrency=3), 4)
    assert [len(claim(world, ids[:2], limit=2)), len(claim(world, ids[2:], limit=2))] == [2, 1]


def test_a_lost_worker_s_places_are_free_after_its_lease(world: World) -> None:
    """What is taken back leaves room for a turn."""
    webhook = endpoint(world, max_concurrency=1)
    dispatch(world, webhook, 2)
    claim(world, slack=EXPIRED)
    assert turn(world) == []
    assert world.deliveries.reclaim_expired(limit=9) == 1
    assert len(turn(world)) + len(claim(world)) == 1


def test_an_endpoint_that_lags_gets_no_more_until_it_answers(world: World) -> None:
    """Ten of its attempts have been under way for longer than a moment: the eleventh waits for one of them."""
    webhook = endpoint(world)
    dispatch(world, webhook, 12)
    lagging = list(claim(world, limit=10))
    world.age(timedelta(seconds=0.2))
    assert (len(lagging), len(claim(world)), turn(world)) == (10, 0, [])
    settle(world, lagging[:1], an_attempt_result())
    assert len(turn(world)) == 2


def test_one_with_a_cap_of_its_own_may_lag(world: World) -> None:
    """Whoever says how much an endpoint takes at once knows that it takes its time."""
    dispatch(world, endpoint(world, max_concurrency=20), 21)
    assert len(claim(world, limit=10)) == 10
    world.age(timedelta(seconds=0.2))
    assert len(claim(world)) == 10


def test_others_are_not_held_with_it(world: World) -> None:
    """A full endpoint costs the one beside it nothing."""
    full, other = endpoint(world, max_concurrency=1), endpoint(world)
    ids = [*dispatch(world, full, 3), *dispatch(world, other, 3)]
    claims = claim(world, ids)
    assert sorted(each.webhook.id == other.id for each in claims) == [False, True, True, True]


def test_what_comes_while_some_are_held_waits_behind_them(world: World) -> None:
    """The order of an endpoint's deliveries holds across the gate: no newcomer goes first."""
    webhook = endpoint(world, max_concurrency=1)
    older = set(dispatch(world, webhook, 2))
    running = list(claim(world))
    [newer] = dispatch(world, webhook)
    assert world.read(webhook.workspace_id, newer).held
    settle(world, running, an_attempt_result())
    assert {each.delivery.id for each in turn(world)} == older - {each.delivery.id for each in running}


def test_a_gate_that_has_nothing_left_is_open_again(world: World) -> None:
    """Once all that was held has gone, deliveries are claimed without a turn."""
    webhook = endpoint(world, max_concurrency=2)
    dispatch(world, webhook, 3)
    settle(world, list(claim(world)), an_attempt_result())
    settle(world, turn(world), an_attempt_result())
    turn(world)
    dispatch(world, webhook)
    assert len(claim(world)) == 1


def test_a_flood_is_held_beyond_the_burst(world: World) -> None:
    """Of one round's deliveries to an endpoint, those beyond the burst go in its turns."""
    webhook = endpoint(world)
    with world.units() as unit:
        events = [unit.events.append(an_event(workspace_id=webhook.workspace_id)) for _ in range(BURST + 5)]
        unit.commit()
    made = world.deliveries.dispatch([each.id for each in events], limit=100_000)
    assert (len(made.delivery_ids), made.throttled, made.throttled_slow) == (BURST, True, False)
    assert len(turn(world.under(concurrency=BURST * 2))) == 5


def test_turns_are_shared_out_among_endpoints(world: World) -> None:
    """One with much to send and one with little: places are dealt out evenly, and what one can't use the other gets."""
    many, few = endpoint(world, max_concurrency=1), endpoint(world, max_concurrency=1)
    for webhook, count in ((many, 30), (few, 4)):
        dispatch(world, webhook, count)
    settle(world, list(claim(world)), an_attempt_result())
    for webhook in (many, few):
        world.change(replace(webhook, max_concurrency=100))
    taken = [each.webhook.id for each in turn(world, limit=20)]
    assert (taken.count(many.id), taken.count(few.id)) in {(10, 3), (17, 3)}


def test_a_workspace_with_many_endpoints_has_no_more_turns_than_one_with_few(world: World) -> None:
    """Each workspace's first endpoint comes before any workspace's second, however long that has waited."""
    crowd = world.workspace()
    many = [world.webhook(crowd, rate_limit_per_s=1) for _ in range(5)]
    dispatch(world, many[0])
    lone = endpoint(world, rate_limit_per_s=1)
    dispatch(world, lone)
    assert lone.id in {each.webhook.id for each in turn(world, limit=2)}


def test_a_rate_is_kept(world: World) -> None:
    """Two in a hundred seconds: after the first, fifty must pass for each; a pause allows one at once, and no more.

    So slowly that the test's own time is no part of it.
    """
    webhook = endpoint(world, rate_limit_per_s=0.02)
    dispatch(world, webhook, 5)
    assert len(claim(world)) == 0
    assert [len(turn(world)), len(turn(world))] == [1, 0]
    world.age(timedelta(seconds=50))
    assert [len(turn(world)), len(turn(world))] == [1, 0]
    world.age(timedelta(hours=2))
    assert [len(turn(world)), len(turn(world))] == [1, 0]


def test_a_high_rate_goes_in_bursts_of_a_tenth_of_a_second(world: World) -> None:
    """A hundred a second: eleven at once, and after a tenth of a second ten more; those before may lag meanwhile."""
    webhook = endpoint(world, rate_limit_per_s=100, max_concurrency=100)
    dispatch(world, webhook, 40)
    claim(world)
    assert len(turn(world)) == 11
    world.age(timedelta(seconds=0.1))
    assert 10 <= len(turn(world)) <= 11


def test_failures_in_a_row_open_the_breaker(breaking: World) -> None:
    """After three nothing goes; what waits is pending, held, and keeps its attempts."""
    webhook = endpoint(breaking)
    open_breaker(breaking, webhook)
    [waiting] = dispatch(breaking, webhook)
    assert (len(claim(breaking, [waiting])), turn(breaking)) == (0, [])
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
    probe = turn(breaking)
    assert len(probe) == 1
    assert (turn(breaking), len(claim(breaking))) == ([], 0)


def test_a_probe_that_fails_opens_it_for_longer(breaking: World) -> None:
    """Two minutes the second time, three the third, for that is the most; each time one probe."""
    webhook = endpoint(breaking)
    open_breaker(breaking, webhook)
    dispatch(breaking, webhook, 9)
    for minutes in (1, 2, 3, 3):
        breaking.age(minutes * MINUTE - timedelta(seconds=40))
        assert turn(breaking) == []
        breaking.age(timedelta(seconds=40))
        settle(breaking, turn(breaking), a_failure())


def test_a_probe_that_succeeds_drains_the_backlog_gently(breaking: World) -> None:
    """Two at once, then twice as many with each success, until the cap is reached."""
    webhook = endpoint(breaking, max_concurrency=10)
    open_breaker(breaking, webhook)
    dispatch(breaking, webhook, 40)
    breaking.age(MINUTE)
    settle(breaking, turn(breaking), an_attempt_result())
    first = turn(breaking)
    assert len(first) == 2
    settle(breaking, first[:1], an_attempt_result())
    assert len(turn(breaking)) == 3
    settle(breaking, first[1:], an_attempt_result())
    assert len(turn(breaking)) == 5


def test_a_probe_that_is_lost_is_followed_by_another(breaking: World) -> None:
    """A worker that dies with the probe holds up the endpoint for its lease and no longer."""
    webhook = endpoint(breaking)
    open_breaker(breaking, webhook)
    dispatch(breaking, webhook, 2)
    breaking.age(MINUTE)
    assert len(turn(breaking)) == 1
    breaking.age(MINUTE)
    assert breaking.deliveries.reclaim_expired(limit=9) == 1
    assert len(turn(breaking)) == 1


def test_with_nothing_to_probe_with_the_next_delivery_is_the_probe(breaking: World) -> None:
    """Nothing waits when the breaker's time is over; the first that comes goes, and the second is held."""
    webhook = endpoint(breaking)
    open_breaker(breaking, webhook)
    breaking.age(MINUTE)
    assert turn(breaking) == []
    dispatch(breaking, webhook, 2)
    assert len(claim(breaking)) == 0
    assert len(turn(breaking)) == 1


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
    assert len(turn(breaking)) == 1


def test_a_paused_endpoint_s_deliveries_wait_until_it_resumes(world: World) -> None:
    """Held, pending, without a turn; then they go."""
    webhook = endpoint(world, paused_at=datetime.now(UTC))
    [waiting] = dispatch(world, webhook)
    assert (len(claim(world, [waiting])), turn(world)) == (0, [])
    assert world.deliveries.count_throttled(limit=9).quick == 0
    world.change(replace(webhook, paused_at=None))
    assert [each.delivery.id for each in turn(world)] == [waiting]


def test_a_pause_holds_what_was_dispatched_before(world: World) -> None:
    """A delivery that is due already is held when a worker comes to it."""
    webhook = endpoint(world)
    [waiting] = dispatch(world, webhook)
    world.change(replace(webhook, paused_at=datetime.now(UTC)))
    assert claim(world, [waiting]).throttled == 1
    assert turn(world) == []


def test_an_attempt_that_takes_long_sends_the_endpoint_to_the_slow_lane(world: World) -> None:
    """From then on its deliveries go in the slow lane's turns only, until five quick attempts in a row."""
    webhook = endpoint(world)
    dispatch(world, webhook)
    settle(world, list(claim(world)), an_attempt_result(duration_ms=1500))
    dispatch(world, webhook, 6)
    assert (len(claim(world)), turn(world)) == (0, [])
    settle(world, turn(world, slow=True, limit=5), an_attempt_result())
    assert len(turn(world)) == 1


def test_one_that_is_marked_slow_is_slow_at_once(world: World) -> None:
    """Before its attempt has ended."""
    webhook, other = endpoint(world), endpoint(world)
    ids = [*dispatch(world, webhook), *dispatch(world, other)]
    world.deliveries.mark_slow({webhook.id})
    claimed = claim(world, ids)
    assert [each.webhook.id for each in claimed] == [other.id]
    assert claimed.slow_slots_due
    assert [each.webhook.id for each in turn(world, slow=True)] == [webhook.id]


def test_a_disabled_endpoint_s_held_deliveries_are_skipped(breaking: World) -> None:
    """With the reason, whether they were held or not, at once."""
    webhook = endpoint(breaking)
    open_breaker(breaking, webhook)
    ids = dispatch(breaking, webhook, 3)
    breaking.change(replace(webhook, enabled=False))
    for each in ids:
        stored = breaking.read(webhook.workspace_id, each)
        assert (stored.status, stored.error_message, stored.held) == (DeliveryStatus.SKIPPED, "Webhook disabled", False)


def test_an_endpoint_that_a_person_has_seen_to_starts_anew(breaking: World) -> None:
    """A new URL, or being enabled again, closes the breaker: what is held goes."""
    webhook = endpoint(breaking)
    open_breaker(breaking, webhook)
    dispatch(breaking, webhook, 3)
    breaking.change(replace(webhook, url="https://elsewhere.example/"))
    assert len(turn(breaking)) == 3


def test_a_limit_that_is_lifted_lets_go_what_it_held(world: World) -> None:
    """Without waiting for the turn that the limit had set."""
    webhook = endpoint(world, rate_limit_per_s=0.01)
    dispatch(world, webhook, 3)
    assert [len(turn(world)), len(turn(world))] == [1, 0]
    world.change(replace(webhook, rate_limit_per_s=None))
    assert len(turn(world)) == 2


def test_410_disables_at_once_and_skips_what_waits(world: World) -> None:
    """The delivery itself is dead; what waits is skipped with the reason; the others of the workspace are told."""
    webhook = endpoint(world)
    ids = dispatch(world, webhook, 3)
    settled = settle(world, list(claim(world, ids[:1], limit=1)), a_failure(status_code=410, error_message="HTTP 410"))
    gone, *waiting = (world.read(webhook.workspace_id, each) for each in ids)
    assert (gone.status, gone.error_message) == (DeliveryStatus.DEAD, "HTTP 410")
    with world.units() as unit:
        stored = unit.webhooks.get_by_id(webhook.id)
        [event_id] = settled.event_ids
        event = unit.events.get_by_id(event_id)
    assert stored is not None
    assert event is not None
    assert (stored.enabled, event.event_type) == (False, "webhook.disabled")
    assert "410 Gone" in (stored.disabled_reason or "")
    assert [(each.status, each.error_message) for each in waiting] == [("skipped", stored.disabled_reason)] * 2
    assert str(webhook.id).encode() in event.payload


def test_trouble_is_told_once_and_never_to_the_endpoint_itself(world: World) -> None:
    """Failing for an hour warns, failing for two disables: one event each, for the endpoint beside it."""
    world = world.under(breaker_failures=0, warn_after=hours(1), disable_after=hours(2), disable_span=hours(0))
    types = ("meeting.completed", "webhook.disabled", "webhook.failing")
    webhook = endpoint(world, events=types)
    other = world.webhook(webhook.workspace_id, events=types[1:])
    told: list[UUID] = []
    for _ in range(6):
        told += fail(world, webhook, 1).event_ids
        world.age(timedelta(minutes=30))
    with world.units() as unit:
        events = [unit.events.get_by_id(each) for each in told]
    assert [each and each.event_type for each in events] == ["webhook.failing", "webhook.disabled"]
    world.deliveries.dispatch(told, limit=9)
    with world.units() as unit:
        receivers = [each.webhook_id for event_id in told for each in unit.deliveries.get_by_event(event_id)]
    assert receivers == [other.id, other.id]


def test_no_event_tells_of_trouble_while_webhooks_are_switched_off(world: World) -> None:
    """The endpoint is disabled all the same."""
    world = world.under(tells=False)
    webhook = endpoint(world)
    dispatch(world, webhook)
    settled = settle(world, list(claim(world)), a_failure(status_code=410))
    assert list(settled.event_ids) == []
    with world.units() as unit:
        stored = unit.webhooks.get_by_id(webhook.id)
    assert stored is not None
    assert not stored.enabled


def test_a_forgotten_turn_is_found(world: World) -> None:
    """Held deliveries whose endpoint has no turn, as only a hand could leave them, are given one."""
    webhook = endpoint(world)
    with world.units() as unit:
        event = unit.events.append(an_event(workspace_id=webhook.workspace_id))
        unit.commit()
    world.deliveries.dispatch([event.id], limit=9)
    with world.units() as unit:
        [delivery] = unit.deliveries.get_by_event(event.id)
        other = unit.events.append(an_event(workspace_id=webhook.workspace_id))
        unit.webhooks.add_delivery(replace(delivery, id=uuid4(), event_id=other.id, held=True))
        unit.commit()
    assert turn(world) == []
    assert world.deliveries.count_throttled(limit=9).quick == 1
    assert len(turn(world)) == 1
