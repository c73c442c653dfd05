"""Caps, rates and floods: how many go to one endpoint at once, and who waits behind whom."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

from noteflow_hooks.domain.health.scheduling import BURST
from noteflow_hooks.domain.options import Format
from tests.conformance.model.throttling import claim, claim_slots, dispatch, endpoint, settle
from tests.conformance.model.world import EXPIRED
from tests.support.builders import an_attempt_result, an_event, preset_fields

if TYPE_CHECKING:
    from tests.conformance.model.world import World


def test_an_endpoint_gets_no_more_at_once_than_its_cap(world: World) -> None:
    """Of five due deliveries two go; the rest is held, and two more go once the first two have ended."""
    webhook = endpoint(world, max_concurrency=2)
    ids = dispatch(world, webhook, 5)
    first = claim(world, ids)
    assert (len(first), first.throttled) == (2, 3)
    assert claim_slots(world) == []
    assert settle(world, list(first), an_attempt_result()).slots[0].wait <= timedelta(0)
    assert len(claim_slots(world)) == 2


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
    assert claim_slots(world) == []
    assert world.deliveries.reclaim_expired(limit=9) == 1
    assert len(claim_slots(world)) + len(claim(world)) == 1


def test_an_endpoint_that_lags_gets_no_more_until_it_answers(world: World) -> None:
    """Ten of its attempts have been under way for longer than a moment: the eleventh waits for one of them."""
    webhook = endpoint(world)
    dispatch(world, webhook, 12)
    lagging = list(claim(world, limit=10))
    world.age(timedelta(seconds=0.2))
    assert (len(lagging), len(claim(world)), claim_slots(world)) == (10, 0, [])
    settle(world, lagging[:1], an_attempt_result())
    assert len(claim_slots(world)) == 2


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
    assert {each.delivery.id for each in claim_slots(world)} == older - {each.delivery.id for each in running}


def test_a_gate_that_has_nothing_left_is_open_again(world: World) -> None:
    """Once all that was held has gone, deliveries are claimed without a turn."""
    webhook = endpoint(world, max_concurrency=2)
    dispatch(world, webhook, 3)
    settle(world, list(claim(world)), an_attempt_result())
    settle(world, claim_slots(world), an_attempt_result())
    claim_slots(world)
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
    assert len(claim_slots(world.under(concurrency=BURST * 2))) == 5


def test_turns_are_shared_out_among_endpoints(world: World) -> None:
    """One with much to send and one with little: places are dealt out evenly, and what one can't use the other gets."""
    many, few = endpoint(world, max_concurrency=1), endpoint(world, max_concurrency=1)
    for webhook, count in ((many, 30), (few, 4)):
        dispatch(world, webhook, count)
    settle(world, list(claim(world)), an_attempt_result())
    for webhook in (many, few):
        world.change(replace(webhook, max_concurrency=100))
    taken = [each.webhook.id for each in claim_slots(world, limit=20)]
    assert (taken.count(many.id), taken.count(few.id)) in {(10, 3), (17, 3)}


def test_a_workspace_with_many_endpoints_has_no_more_turns_than_one_with_few(world: World) -> None:
    """Each workspace's first endpoint comes before any workspace's second, however long that has waited."""
    busy = world.workspace()
    many = [world.webhook(busy, rate_limit_per_s=1) for _ in range(5)]
    dispatch(world, many[0])
    lone = endpoint(world, rate_limit_per_s=1)
    dispatch(world, lone)
    assert lone.id in {each.webhook.id for each in claim_slots(world, limit=2)}


def test_a_rate_is_kept(world: World) -> None:
    """Two in a hundred seconds: after the first, fifty must pass for each; a pause allows one at once, and no more.

    So slowly that the test's own time is no part of it.
    """
    webhook = endpoint(world, rate_limit_per_s=0.02)
    dispatch(world, webhook, 5)
    assert len(claim(world)) == 0
    assert [len(claim_slots(world)), len(claim_slots(world))] == [1, 0]
    world.age(timedelta(seconds=50))
    assert [len(claim_slots(world)), len(claim_slots(world))] == [1, 0]
    world.age(timedelta(hours=2))
    assert [len(claim_slots(world)), len(claim_slots(world))] == [1, 0]


def test_a_preset_has_its_vendor_s_rate_until_it_names_its_own(world: World) -> None:
    """Discord takes one in two seconds: of five, one goes at once; with a rate of its own, that counts."""
    webhook = world.webhook(world.workspace(), **preset_fields(Format.DISCORD))
    dispatch(world, webhook, 5)
    assert len(claim(world)) == 0
    assert [len(claim_slots(world)), len(claim_slots(world))] == [1, 0]
    world.age(timedelta(seconds=2))
    assert [len(claim_slots(world)), len(claim_slots(world))] == [1, 0]
    world.change(replace(webhook, rate_limit_per_s=1000))
    world.age(timedelta(seconds=2))
    assert len(claim_slots(world)) == 3


def test_a_high_rate_goes_in_bursts_of_a_tenth_of_a_second(world: World) -> None:
    """A hundred a second: eleven at once, and after a tenth of a second ten more; those before may lag meanwhile."""
    webhook = endpoint(world, rate_limit_per_s=100, max_concurrency=100)
    dispatch(world, webhook, 40)
    claim(world)
    assert len(claim_slots(world)) == 11
    world.age(timedelta(seconds=0.1))
    assert 10 <= len(claim_slots(world)) <= 11


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
        unit.webhooks.add_delivery(delivery._replace(id=uuid4(), event_id=other.id, held=True))
        unit.commit()
    assert claim_slots(world) == []
    assert world.deliveries.count_throttled(limit=9).quick == 1
    assert len(claim_slots(world)) == 1
