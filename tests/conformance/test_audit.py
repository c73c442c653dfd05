"""The audit trail, in both stores: written with the change or not at all, listed newest first, and kept as it is."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

import pytest

from noteflow_hooks.domain.audit.entries import Action, ActorKind, AuditFilter, TargetKind
from noteflow_hooks.domain.paging import IdRange, Position
from tests.support.builders import a_workspace, an_entry

if TYPE_CHECKING:
    from noteflow_hooks.domain.access import Workspace
    from noteflow_hooks.domain.audit.entries import AuditEntry
    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork
    from tests.conformance.model.world import World

DAY: Final = timedelta(days=1)


def _write(world: World, *entries: AuditEntry) -> None:
    """Write each in a unit of its own."""
    for each in entries:
        with world.units() as unit:
            unit.audit.add(each)
            unit.commit()


def _make_and_fail(unit: UnitOfWork, workspace: Workspace) -> None:
    unit.access.create_workspace(workspace)
    unit.audit.add(an_entry(workspace_id=workspace.id))
    raise RuntimeError


def _position(entry: AuditEntry) -> Position:
    assert entry.at is not None
    return Position(entry.at, entry.id)


def test_an_entry_comes_back_as_it_was_written(world: World) -> None:
    """With the store's time, and with what JSON has in old and new."""
    old = {"name": "Ümlaut \u2028", "enabled": True, "rate_limit_per_s": None, "events": []}
    new = {"name": "'; DROP TABLE", "timeout_ms": 100, "rate_limit_per_s": 0.5, "events": ["a", "b"]}
    full = an_entry(old=old, new=new, request_id="r-1", actor_hint="wxyz", target_id="m\u0301-1")
    bare = an_entry(workspace_id=full.workspace_id, actor_hint="")
    _write(world, full, bare)
    stored = world.entries(full.workspace_id)
    assert [replace(each, at=None) for each in stored] == [full, bare]
    assert all(each.at is not None for each in stored)


def test_an_entry_is_written_with_the_change_or_not_at_all(world: World) -> None:
    """A unit that is not committed, and a part that is undone, leave neither of the two."""
    kept, lost, undone = a_workspace(), a_workspace(), a_workspace()
    with world.units() as unit:
        unit.access.create_workspace(lost)
        unit.audit.add(an_entry(workspace_id=lost.id))
    with world.units() as unit:
        unit.access.create_workspace(kept)
        unit.audit.add(an_entry(workspace_id=kept.id))
        with pytest.raises(RuntimeError), unit.savepoint():
            _make_and_fail(unit, undone)
        unit.commit()
    with world.units() as unit:
        there = {each.id for each in unit.access.list_workspaces()}
    assert [each.id in there for each in (kept, lost, undone)] == [True, False, False]
    assert [len(world.entries(each.id)) for each in (kept, lost, undone)] == [1, 0, 0]


def test_entries_are_listed_newest_first_and_page_by_page(world: World) -> None:
    """Of one workspace; what is written meanwhile neither repeats a row nor takes one away."""
    workspace_id = uuid4()
    made = [an_entry(workspace_id=workspace_id) for _ in range(7)]
    _write(world, *made[:3], an_entry(), *made[3:])
    seen: list[UUID] = []
    after = None
    while True:
        with world.units() as unit:
            page = unit.audit.list_page(workspace_id, limit=2, after=after)
        if not page:
            break
        seen += [each.id for each in page]
        after = _position(page[-1])
        _write(world, an_entry(workspace_id=workspace_id))
    assert seen == [each.id for each in reversed(made)]


def test_entries_are_filtered_by_who_what_on_what_and_when(world: World) -> None:
    """Each filter alone, and all together; the count is theirs too."""
    workspace_id = uuid4()
    base = an_entry(workspace_id=workspace_id, actor="me", target_id="t-1")
    others = [
        replace(base, id=uuid4(), actor_kind=ActorKind.CLI),
        replace(base, id=uuid4(), actor="you"),
        replace(base, id=uuid4(), action=Action.WEBHOOK_DELETED),
        replace(base, id=uuid4(), target_kind=TargetKind.REPLAY),
        replace(base, id=uuid4(), target_id="t-2"),
    ]
    _write(world, base, *others)
    stored = world.entries(workspace_id)
    criteria = AuditFilter(
        actor_kind=ActorKind.TOKEN,
        actor="me",
        action=Action.WEBHOOK_TESTED,
        target_kind=TargetKind.WEBHOOK,
        target_id="t-1",
        created_after=stored[0].at,
        created_before=stored[1].at,
    )
    with world.units() as unit:
        assert unit.audit.list_page(workspace_id, criteria, limit=9) == [stored[0]]
        assert unit.audit.count(workspace_id, criteria) == 1
        for name in ("actor_kind", "actor", "action", "target_kind", "target_id"):
            alone = AuditFilter(**{name: getattr(criteria, name)})
            assert unit.audit.count(workspace_id, alone) == 5, name
        assert unit.audit.count(workspace_id, AuditFilter(created_after=stored[2].at)) == 4
        assert unit.audit.count(workspace_id, AuditFilter(created_before=stored[2].at)) == 2
        only = IdRange.of_prefix(str(base.id))
        assert unit.audit.list_page(workspace_id, limit=9, ids=only) == [stored[0]]
        assert unit.audit.count(workspace_id, ids=only) == 1


def test_retention_removes_what_is_older_than_its_period(world: World) -> None:
    """A batch at a time, the oldest first, and nothing that is younger."""
    workspace_id = uuid4()
    old = [an_entry(workspace_id=workspace_id) for _ in range(5)]
    _write(world, *old)
    world.age(10 * DAY)
    young = an_entry(workspace_id=workspace_id)
    _write(world, young)
    assert world.retention.remove_audit_entries(11 * DAY, limit=9).rows == 0
    batch = world.retention.remove_audit_entries(9 * DAY, limit=2)
    assert (batch.rows, batch.cursor is not None) == (2, True)
    assert [each.id for each in world.entries(workspace_id)] == [each.id for each in [*old[2:], young]]
    batch = world.retention.remove_audit_entries(9 * DAY, limit=9, after=batch.cursor)
    assert (batch.rows, batch.cursor) == (3, None)
    assert [each.id for each in world.entries(workspace_id)] == [young.id]
