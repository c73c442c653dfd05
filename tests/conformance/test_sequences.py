"""The numbers of a meeting's events, as every store gives them: from 1, without gaps, in the order of recording."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from noteflow_hooks.errors import AlreadyExistsError
from tests.support.builders import an_event

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from noteflow_hooks.domain.events import Event
    from tests.conformance.model.world import World


def recorded(world: World, events: Sequence[Event], *, at_once: bool) -> list[int | None]:
    """Store the events, at once or one after another, and return their numbers."""
    with world.units() as unit:
        stored = unit.events.append_many(events) if at_once else [unit.events.append(each) for each in events]
        unit.commit()
    return [each.sequence for each in stored if not isinstance(each, AlreadyExistsError)]


def of_meeting(workspace_id: UUID, meeting_id: str | None, count: int) -> list[Event]:
    return [an_event(workspace_id=workspace_id, meeting_id=meeting_id) for _ in range(count)]


@pytest.mark.parametrize("at_once", [False, True])
def test_each_meeting_counts_for_itself(world: World, *, at_once: bool) -> None:
    """Two meetings, and meetings of the same name in two workspaces; what is about none has no number."""
    one, other = world.workspace(), world.workspace()
    a, b, c = of_meeting(one, "m", 3), of_meeting(one, "n", 2), of_meeting(other, "m", 1)
    none = of_meeting(one, None, 2)
    mixed = [a[0], b[0], none[0], a[1], c[0], b[1], none[1], a[2]]
    assert recorded(world, mixed, at_once=at_once) == [1, 1, None, 2, 1, 2, None, 3]
    assert recorded(world, of_meeting(one, "m", 1), at_once=at_once) == [4]
    with world.units() as unit:
        assert [each.sequence for each in unit.events.list_page(other, limit=9)] == [1]


@pytest.mark.parametrize("at_once", [False, True])
def test_what_is_recorded_already_takes_no_number(world: World, *, at_once: bool) -> None:
    """A repeated key returns the first one's number, one that is refused takes none, and none is missing after it."""
    workspace_id = world.workspace()
    keyed = [
        an_event(workspace_id=workspace_id, meeting_id="m", idempotency_key=key, request_digest=digest)
        for key, digest in (("k", b"1"), ("k", b"1"), ("l", b"1"), ("k", b"1"))
    ]
    clash = an_event(workspace_id=workspace_id, meeting_id="m", idempotency_key="k", request_digest=b"2")
    assert recorded(world, keyed, at_once=at_once) == [1, 1, 2, 1]
    assert recorded(world, [clash], at_once=True) == []
    with world.units() as unit, pytest.raises(AlreadyExistsError):
        unit.events.append(clash)
    assert recorded(world, of_meeting(workspace_id, "m", 1), at_once=at_once) == [3]


def test_what_is_stored_twice_has_one_number(world: World) -> None:
    """As where the answer to a first try was lost."""
    workspace_id = world.workspace()
    events = of_meeting(workspace_id, "m", 3)
    assert recorded(world, events[:2], at_once=True) == [1, 2]
    assert recorded(world, events, at_once=True) == [1, 2, 3]
    assert recorded(world, events[:1], at_once=True) == [1]


def test_what_is_rolled_back_takes_no_number(world: World) -> None:
    """Neither a unit's, nor a part's that is undone by itself."""
    workspace_id = world.workspace()
    with world.units() as unit:
        unit.events.append(of_meeting(workspace_id, "m", 1)[0])
    with world.units() as unit:
        with suppress(KeyError), unit.savepoint():
            unit.events.append(of_meeting(workspace_id, "m", 1)[0])
            raise KeyError
        assert unit.events.append(of_meeting(workspace_id, "m", 1)[0]).sequence == 1
        unit.commit()
    assert recorded(world, of_meeting(workspace_id, "m", 1), at_once=False) == [2]


def test_numbers_go_on_when_the_events_are_erased(world: World) -> None:
    """The counter outlives what it has counted."""
    workspace_id = world.workspace()
    recorded(world, of_meeting(workspace_id, "m", 2), at_once=True)
    with world.units() as unit:
        unit.events.erase_meeting(workspace_id, "m")
        unit.commit()
    assert recorded(world, of_meeting(workspace_id, "m", 1), at_once=True) == [3]


def test_a_claim_knows_the_events_number(world: World) -> None:
    """However it is claimed."""
    workspace_id = world.workspace()
    world.webhook(workspace_id)
    numbers = []
    for meeting_id in ("m", "m", None):
        [delivery] = world.dispatched(world.event(workspace_id, meeting_id=meeting_id))
        rank = world.claim(delivery.id).rank
        numbers.append(None if rank is None else rank.sequence)
    assert numbers == [1, 2, None]
