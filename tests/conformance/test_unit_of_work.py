"""What a unit of work promises: all or nothing, savepoints, and calls that follow the commit."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from noteflow_hooks.errors import UnitOfWorkNotStartedError
from tests.support.builders import a_meeting, a_workspace, an_event

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork
    from tests.conformance.model.world import World


class MishapError(Exception):
    """Something went wrong in the caller's own code."""


def workspaces(world: World) -> set[UUID]:
    with world.units() as unit:
        return {workspace.id for workspace in unit.access.list_workspaces()}


def test_what_is_committed_is_seen_by_later_units(world: World) -> None:
    """A commit makes a unit's changes durable."""
    with world.units() as unit:
        stored = unit.access.create_workspace(a_workspace())
        unit.commit()
    assert workspaces(world) == {stored.id}


def test_leaving_without_commit_rolls_back(world: World) -> None:
    """Nothing of a unit that was not committed is left, whatever the repository."""
    workspace_id = world.workspace()
    with world.units() as unit:
        meeting = unit.meetings.create(a_meeting(workspace_id=workspace_id))
        event = unit.events.append(an_event(workspace_id=workspace_id))
    with world.units() as unit:
        assert unit.meetings.get(workspace_id, meeting.id) is None
        assert unit.events.get_by_id(event.id) is None


def test_a_change_of_what_was_there_is_rolled_back_too(world: World) -> None:
    """Rolling back undoes updates as it undoes inserts."""
    webhook = world.webhook(world.workspace())
    with world.units() as unit:
        assert unit.webhooks.delete(webhook.id)
        assert unit.webhooks.get_by_id(webhook.id) is None
    with world.units() as unit:
        assert unit.webhooks.get_by_id(webhook.id) == webhook


def test_an_error_rolls_back_and_goes_on(world: World) -> None:
    """An error that leaves the block undoes the unit and reaches the caller."""

    def go_wrong() -> None:
        with world.units() as unit, unit.savepoint():
            unit.access.create_workspace(a_workspace())
            raise MishapError

    with pytest.raises(MishapError):
        go_wrong()
    assert workspaces(world) == set()


def test_what_follows_a_commit_needs_its_own(world: World) -> None:
    """A unit goes on after its commit with a new transaction."""
    with world.units() as unit:
        first = unit.access.create_workspace(a_workspace())
        unit.commit()
        unit.access.create_workspace(a_workspace())
    assert workspaces(world) == {first.id}


def test_a_unit_can_be_used_again_after_its_block(world: World) -> None:
    """The same unit begins anew at its next ``with``, with nothing left of the last one."""
    unit = world.units()
    with unit:
        unit.access.create_workspace(a_workspace())
    with unit:
        second = unit.access.create_workspace(a_workspace())
        unit.commit()
    assert workspaces(world) == {second.id}


def test_a_savepoint_undoes_only_its_own_part(world: World) -> None:
    """An error that leaves a savepoint undoes what happened in it, and nothing from before or after."""
    with world.units() as unit:
        before = unit.access.create_workspace(a_workspace())
        with suppress(MishapError), unit.savepoint():
            unit.access.create_workspace(a_workspace())
            raise MishapError
        after = unit.access.create_workspace(a_workspace())
        unit.commit()
    assert workspaces(world) == {before.id, after.id}


def test_a_savepoint_that_is_left_in_peace_keeps_its_part(world: World) -> None:
    """What happened in a savepoint without an error is committed with the rest."""
    with world.units() as unit:
        with unit.savepoint():
            inside = unit.access.create_workspace(a_workspace())
        unit.commit()
    assert workspaces(world) == {inside.id}


def test_a_savepoint_is_not_a_commit(world: World) -> None:
    """A savepoint's part goes down with its unit."""
    with world.units() as unit, unit.savepoint():
        unit.access.create_workspace(a_workspace())
    assert workspaces(world) == set()


def test_savepoints_nest(world: World) -> None:
    """An inner savepoint's error, caught in the outer one, leaves the outer one's part."""
    with world.units() as unit:
        with unit.savepoint():
            outer = unit.access.create_workspace(a_workspace())
            with suppress(MishapError), unit.savepoint():
                unit.access.create_workspace(a_workspace())
                raise MishapError
        unit.commit()
    assert workspaces(world) == {outer.id}


def test_an_error_of_the_store_in_a_savepoint_leaves_the_unit_usable(world: World) -> None:
    """A refused statement spoils its savepoint, not the transaction around it."""
    with world.units() as unit:
        before = unit.access.create_workspace(a_workspace())
        # A workspace that is not there: one store raises an error of ours, the other the driver's.
        with pytest.raises(Exception, match=r".+"), unit.savepoint():
            unit.events.append(an_event())
        unit.commit()
    assert workspaces(world) == {before.id}


def test_calls_run_after_the_commit_in_order_and_see_it(world: World) -> None:
    """What :meth:`on_commit` took runs once, when another unit sees the change already."""
    calls: list[tuple[str, int]] = []
    with world.units() as unit:
        unit.on_commit(lambda: calls.append(("first", len(workspaces(world)))))
        unit.on_commit(lambda: calls.append(("second", len(workspaces(world)))))
        unit.access.create_workspace(a_workspace())
        assert calls == []
        unit.commit()
        assert calls == [("first", 1), ("second", 1)]
        unit.commit()
    assert calls == [("first", 1), ("second", 1)]


def test_calls_do_not_run_without_a_commit(world: World) -> None:
    """A unit that is rolled back runs none of its calls, nor does the next use of it."""
    calls: list[str] = []
    unit = world.units()
    with unit:
        unit.on_commit(lambda: calls.append("rolled back"))
    with unit:
        unit.commit()
    assert calls == []


def test_calls_of_an_undone_savepoint_do_not_run(world: World) -> None:
    """A savepoint takes the calls that were registered in it along, and no others."""
    calls: list[str] = []
    with world.units() as unit:
        unit.on_commit(lambda: calls.append("before"))
        with suppress(MishapError), unit.savepoint():
            unit.on_commit(lambda: calls.append("inside"))
            raise MishapError
        with unit.savepoint():
            unit.on_commit(lambda: calls.append("kept"))
        unit.commit()
    assert calls == ["before", "kept"]


def test_a_call_may_use_the_store(world: World) -> None:
    """A call after the commit can open a unit and commit it."""
    added: list[UUID] = []
    with world.units() as unit:
        unit.on_commit(lambda: added.append(world.workspace()))
        unit.commit()
    assert workspaces(world) == set(added)
    assert len(added) == 1


def test_a_call_leaves_the_store_to_others(world: World) -> None:
    """A call that takes its time holds up no other thread's unit."""
    added: list[UUID] = []
    with ThreadPoolExecutor(1) as pool, world.units() as unit:
        unit.on_commit(lambda: added.append(pool.submit(world.workspace).result(timeout=10)))
        unit.commit()
    assert workspaces(world) == set(added)


def test_a_unit_within_a_unit_stands_alone(world: World) -> None:
    """A thread may open a second unit: it neither waits, nor sees the first one's changes, nor falls with it."""
    with world.units() as unit:
        unit.access.create_workspace(a_workspace())
        inner = world.workspace()
        assert workspaces(world) == {inner}
    assert workspaces(world) == {inner}


MEMBERS: dict[str, Callable[[UnitOfWork], object]] = {
    "webhooks": lambda unit: unit.webhooks,
    "supports_webhooks": lambda unit: unit.supports_webhooks,
    "events": lambda unit: unit.events,
    "deliveries": lambda unit: unit.deliveries,
    "meetings": lambda unit: unit.meetings,
    "access": lambda unit: unit.access,
    "commit": lambda unit: unit.commit(),
    "on_commit": lambda unit: unit.on_commit(lambda: None),
    "savepoint": lambda unit: unit.savepoint(),
}


@pytest.mark.parametrize("member", MEMBERS)
def test_outside_its_block_every_member_raises(world: World, member: str) -> None:
    """A unit that was not begun, or has ended, refuses to be used."""
    unit = world.units()
    with pytest.raises(UnitOfWorkNotStartedError):
        MEMBERS[member](unit)
    with unit:
        MEMBERS[member](unit)
    with pytest.raises(UnitOfWorkNotStartedError):
        MEMBERS[member](unit)


def test_a_unit_says_that_it_keeps_webhooks(world: World) -> None:
    """Both stores keep endpoints, events and deliveries."""
    with world.units() as unit:
        assert unit.supports_webhooks is True
