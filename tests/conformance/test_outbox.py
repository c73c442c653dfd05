"""Events, as every store keeps them: stored once under their idempotency key, byte for byte."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast
from uuid import UUID, uuid4

import pytest

from noteflow_hooks.domain.events import Event
from noteflow_hooks.domain.paging import Position
from noteflow_hooks.errors import AlreadyExistsError
from tests.support.builders import an_event
from tests.support.waiting import until

if TYPE_CHECKING:
    from datetime import datetime

    from tests.conformance.model.world import World

#: What a database that understands JSON would like to rewrite: order, numbers, spaces, escapes.
STUBBORN = '{"z":1,"a":1.0,"n":1e3,"m":1E-3,"t":"é\\u0001\\/ 😀","big":123456789012345678901234567890}'.encode()


def test_an_event_is_kept_whole(world: World) -> None:
    """Every field comes back as it was given, with the store's time, and not dispatched."""
    workspace_id = world.workspace()
    target = world.webhook(workspace_id)
    given = an_event(
        workspace_id=workspace_id,
        target_webhook_id=target.id,
        idempotency_key="key-1",
        request_digest=b"digest",
        meeting_id="any text",
    )
    with world.units() as unit:
        stored = unit.events.append(given)
        unit.commit()
    with world.units() as unit:
        assert unit.events.get_by_id(given.id) == stored
        assert unit.events.get_by_id(uuid4()) is None
    assert stored.created_at is not None
    assert replace(stored, created_at=None, sequence=None) == given


def test_a_payload_is_kept_byte_for_byte(world: World) -> None:
    """The stored payload is the one that was given, not one that means the same."""
    workspace_id = world.workspace()
    event = world.event(workspace_id, payload=STUBBORN)
    world.webhook(workspace_id)
    later = world.event(workspace_id, payload=STUBBORN)
    [delivery] = world.dispatched(later)
    with world.units() as unit:
        stored = unit.events.get_by_id(event.id)
    assert stored is not None
    assert stored.payload == STUBBORN
    assert world.claim(delivery.id).payload == STUBBORN


def test_a_repeated_request_returns_the_first_event(world: World) -> None:
    """The same key and request, later or in the same unit, store nothing and return what is there."""
    workspace_id = world.workspace()
    first = world.event(workspace_id, idempotency_key="k", request_digest=b"same")
    again = world.event(workspace_id, idempotency_key="k", request_digest=b"same")
    assert again == first
    with world.units() as unit:
        assert unit.events.list_page(workspace_id, limit=9) == [first]


def test_a_key_works_within_one_unit(world: World) -> None:
    """A key is taken as soon as it was used, before any commit."""
    workspace_id = world.workspace()
    one, two = (an_event(workspace_id=workspace_id, idempotency_key="k", request_digest=b"same") for _ in range(2))
    with world.units() as unit:
        assert unit.events.append(one).id == one.id
        assert unit.events.append(two).id == one.id


def test_a_key_stands_for_one_request(world: World) -> None:
    """The same key with another request is refused, and the unit can go on."""
    workspace_id = world.workspace()
    first = world.event(workspace_id, idempotency_key="k", request_digest=b"one")
    with world.units() as unit:
        clash = an_event(workspace_id=workspace_id, idempotency_key="k", request_digest=b"another")
        with pytest.raises(AlreadyExistsError):
            unit.events.append(clash)
        assert unit.events.list_page(workspace_id, limit=9) == [first]


def test_keys_belong_to_their_workspace(world: World) -> None:
    """Two workspaces may use the same key for different things."""
    one, two = (world.event(world.workspace(), idempotency_key="k", request_digest=digest) for digest in (b"1", b"2"))
    assert one.id != two.id


def test_without_a_key_every_request_is_its_own(world: World) -> None:
    """Two events without a key are two, even where they say the same."""
    workspace_id = world.workspace()
    one, two = (world.event(workspace_id, request_digest=b"same") for _ in range(2))
    assert one.id != two.id


def test_a_key_is_free_again_where_its_unit_was_rolled_back(world: World) -> None:
    """A key that was never committed stands for nothing."""
    workspace_id = world.workspace()
    with world.units() as unit:
        unit.events.append(an_event(workspace_id=workspace_id, idempotency_key="k", request_digest=b"one"))
    stored = world.event(workspace_id, idempotency_key="k", request_digest=b"another")
    assert stored.request_digest == b"another"


def test_many_events_are_stored_at_once_in_their_order(world: World) -> None:
    """Whole, byte for byte, each with a moment of its own, whatever their texts hold."""
    workspace_id, other_id = world.workspace(), world.workspace()
    target = world.webhook(workspace_id)
    given = [
        an_event(workspace_id=workspace_id, payload=STUBBORN, target_webhook_id=target.id, meeting_id=None),
        an_event(workspace_id=other_id, meeting_id='{"a",\\"b"}', idempotency_key="NULL", request_digest=b'\\x00"'),
        an_event(workspace_id=workspace_id, meeting_id="null", idempotency_key='k"\\,{}', request_digest=bytes(32)),
        *(
            an_event(workspace_id=workspace_id, idempotency_key=f"k-{9 - number}", request_digest=b"")
            for number in range(9)
        ),
    ]
    with world.units() as unit:
        stored = unit.events.append_many(given)
        unit.commit()
    plain = [replace(each, created_at=None, sequence=None) for each in stored if isinstance(each, Event)]
    assert plain == given
    with world.units() as unit:
        assert [unit.events.get_by_id(each.id) for each in given] == stored
        of_one = [each for each in reversed(stored) if isinstance(each, Event) and each.workspace_id == workspace_id]
        assert unit.events.list_page(workspace_id, limit=20) == of_one


def test_a_key_that_comes_twice_at_once_stands_for_the_first(world: World) -> None:
    """As in two calls; what it stands for another request of fails that one alone."""
    workspace_id = world.workspace()
    before = world.event(workspace_id, idempotency_key="before", request_digest=b"1")
    given = [
        an_event(workspace_id=workspace_id, idempotency_key=key, request_digest=digest)
        for key, digest in (("k", b"1"), ("before", b"2"), ("k", b"1"), ("k", b"2"), ("before", b"1"), (None, None))
    ]
    with world.units() as unit:
        stored = unit.events.append_many(given)
        unit.commit()
    assert [each.id if isinstance(each, Event) else type(each) for each in stored] == [
        given[0].id, AlreadyExistsError, given[0].id, AlreadyExistsError, before.id, given[5].id,
    ]  # fmt: skip


@pytest.mark.parametrize("count", [1, 3])
def test_events_that_are_stored_again_by_their_ids_are_the_same_events(world: World, count: int) -> None:
    """So a store may be repeated whose answer was lost, with keys and without, one by one and together."""
    workspace_id = world.workspace()
    keyed = an_event(workspace_id=workspace_id, idempotency_key="k", request_digest=b"1")
    given = [keyed, *(an_event(workspace_id=workspace_id) for _ in range(2))][-count:]
    with world.units() as unit:
        stored = unit.events.append_many(given)
        unit.commit()
    with world.units() as unit:
        assert unit.events.append_many(given) == stored
        unit.commit()
    with world.units() as unit:
        assert unit.events.count(workspace_id) == count


def test_pages_of_events_go_from_the_newest_on(world: World) -> None:
    """Pages line up without gaps or repetitions and hold one workspace's events alone."""
    workspace_id = world.workspace()
    made = [world.event(workspace_id) for _ in range(5)]
    world.event(world.workspace())
    with world.units() as unit:
        first = unit.events.list_page(workspace_id, limit=2)
        last = first[-1]
        assert last.created_at is not None
        rest = unit.events.list_page(workspace_id, limit=9, after=Position(last.created_at, last.id))
    assert [*first, *rest] == made[::-1]


def test_events_of_one_unit_keep_their_order(world: World) -> None:
    """Of two events in one transaction the second is the newer one."""
    workspace_id = world.workspace()
    with world.units() as unit:
        made = [unit.events.append(an_event(workspace_id=workspace_id)) for _ in range(4)]
        unit.commit()
    with world.units() as unit:
        assert unit.events.list_page(workspace_id, limit=9) == made[::-1]


def test_what_stands_behind_a_position_is_read_in_order_up_to_a_moment(world: World) -> None:
    """Of these workspaces alone, so many at once, and nothing that may still change its place."""
    mine, other, third = (world.workspace() for _ in range(3))
    with world.units() as unit:
        begun = unit.events.horizon()
    events = [world.event(each) for each in (mine, other, third, mine)]
    until(lambda: _horizon(world) > max(cast("datetime", each.created_at) for each in events), what="all are told")
    wanted = [each for each in events if each.workspace_id != third]
    with world.units() as unit:
        horizon, start = unit.events.horizon(), Position(begun, UUID(int=0))
        assert unit.events.stored_after([mine, other], start, until=horizon, limit=10) == wanted
        assert unit.events.stored_after([mine, other], start, until=horizon, limit=2) == wanted[:2]
        first = Position(cast("datetime", wanted[0].created_at), wanted[0].id)
        assert unit.events.stored_after([mine, other], first, until=horizon, limit=10) == wanted[1:]
        last = cast("datetime", wanted[-1].created_at)
        assert unit.events.stored_after([mine, other], first, until=last, limit=10) == wanted[1:-1]
        assert unit.events.stored_after([third], Position(horizon, UUID(int=0)), until=horizon, limit=10) == []


def _horizon(world: World) -> datetime:
    with world.units() as unit:
        return unit.events.horizon()
