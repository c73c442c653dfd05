"""Rounds of dispatching: each delivery is made once, however large the fan-out and however many wake-ups name it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

from tests.support.builders import a_delivery, hours

if TYPE_CHECKING:
    from noteflow_hooks.domain.events import Event
    from tests.conformance.model.world import World


def is_dispatched(world: World, event: Event) -> bool:
    with world.units() as unit:
        stored = unit.events.get_by_id(event.id)
    assert stored is not None
    return stored.dispatched_at is not None


def test_dispatching_twice_makes_nothing_new(world: World) -> None:
    """A repeated wake-up finds the event finished with."""
    workspace_id = world.workspace()
    world.webhook(workspace_id)
    event = world.event(workspace_id)
    assert len(world.deliveries.dispatch([event.id], limit=9).delivery_ids) == 1
    world.webhook(workspace_id)
    again = world.deliveries.dispatch([event.id, event.id], limit=9)
    assert (again.delivery_ids, again.events, again.more) == ((), 0, False)
    assert len(world.dispatched(event)) == 1


def test_a_delivery_that_is_there_is_kept(world: World) -> None:
    """An endpoint that has its delivery of the event already gets no second one."""
    workspace_id = world.workspace()
    had, new = world.webhook(workspace_id), world.webhook(workspace_id)
    event = world.event(workspace_id)
    with world.units() as unit:
        kept = unit.webhooks.add_delivery(a_delivery(webhook_id=had.id, event_id=event.id))
        unit.commit()
    [made] = world.deliveries.dispatch([event.id], limit=9).delivery_ids
    with world.units() as unit:
        by_endpoint = {each.webhook_id: each.id for each in unit.deliveries.get_by_event(event.id)}
    assert by_endpoint == {had.id: kept.id, new.id: made}


def test_unknown_events_are_passed_over(world: World) -> None:
    """A wake-up for what is not there does no harm."""
    made = world.deliveries.dispatch([uuid4()], limit=9)
    assert (made.delivery_ids, made.events, made.more) == ((), 0, False)


def test_a_round_takes_what_waits_along(world: World) -> None:
    """Events that nobody named are dispatched with those that were."""
    workspace_id = world.workspace()
    world.webhook(workspace_id)
    events = [world.event(workspace_id) for _ in range(3)]
    made = world.deliveries.dispatch([events[2].id], limit=100)
    assert (len(made.delivery_ids), made.events) == (3, 3)
    assert all(is_dispatched(world, event) for event in events)


def test_a_large_fan_out_goes_in_rounds(world: World) -> None:
    """Rounds are cut at their limit, say that there is more, and together make each delivery once."""
    workspace_id = world.workspace()
    endpoints = {world.webhook(workspace_id, enabled=bool(number % 3)).id for number in range(10)}
    events = [world.event(workspace_id) for _ in range(2)]
    rounds = []
    more = True
    while more:
        made = world.deliveries.dispatch([event.id for event in events], limit=4)
        rounds.append(made)
        more = made.more
        assert len(rounds) < 20, "it never ends"
    due = [delivery_id for each in rounds for delivery_id in each.delivery_ids]
    assert len(due) == len(set(due)) == 2 * 6
    assert all(len(each.delivery_ids) <= 4 for each in rounds)
    assert sum(each.events for each in rounds) == 2
    for event in events:
        with world.units() as unit:
            rows = unit.deliveries.get_by_event(event.id)
        assert len(rows) == 10
        assert {row.webhook_id for row in rows} == endpoints
        assert is_dispatched(world, event)


def test_an_event_is_open_until_its_last_page(world: World) -> None:
    """A round that was cut leaves its event among the undispatched, for whoever goes on."""
    workspace_id = world.workspace()
    for _ in range(3):
        world.webhook(workspace_id)
    event = world.event(workspace_id)
    made = world.deliveries.dispatch([event.id], limit=2)
    assert (len(made.delivery_ids), made.events, made.more) == (2, 0, True)
    assert not is_dispatched(world, event)
    assert world.deliveries.undispatched(older_than=timedelta(0), limit=9) == [event.id]


def test_what_waits_for_dispatch_is_found_oldest_first(world: World) -> None:
    """Undispatched events of at least that age are found, up to the limit."""
    workspace_id = world.workspace()
    events = [world.event(workspace_id).id for _ in range(3)]
    assert world.deliveries.undispatched(older_than=timedelta(0), limit=2) == events[:2]
    assert world.deliveries.undispatched(older_than=hours(1), limit=9) == []
    world.deliveries.dispatch([], limit=100)
    assert world.deliveries.undispatched(older_than=timedelta(0), limit=9) == []


def test_an_uncommitted_event_is_nobodys(world: World) -> None:
    """An event whose unit was rolled back is never dispatched."""
    workspace_id = world.workspace()
    world.webhook(workspace_id)
    kept = world.event(workspace_id)
    with world.units() as unit:
        unit.events.append(replace(kept, id=uuid4()))
    assert world.deliveries.dispatch([], limit=9).events == 1
