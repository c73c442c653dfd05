"""Watches of events over a store in memory: what is told while the past is read, and what of it is told twice."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, TypeVar
from uuid import uuid4

from noteflow_hooks.application import event_watching
from noteflow_hooks.application.event_watching import EventCriteria, start_of
from noteflow_hooks.persistence.memory import InMemoryUnitOfWork, MemoryStore
from noteflow_hooks.rpc.watching.event_watches import EventWatches
from tests.support.builders import NOON, a_workspace, an_event

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    import pytest

    from noteflow_hooks.domain.events import Event
    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork
    from noteflow_hooks.rpc.watching.event_watcher import EventNotice

    Step = Callable[[], Awaitable[None]]

T = TypeVar("T")


class Database:
    """Runs use cases in a store in memory."""

    def __init__(self) -> None:
        self.units = partial(InMemoryUnitOfWork, MemoryStore())
        self.workspace_id = self._workspace()

    async def run(self, use_case: Callable[[UnitOfWork], T]) -> T:
        with self.units() as unit:
            return use_case(unit)

    def store(self, event_type: str = "meeting.completed") -> Event:
        with self.units() as unit:
            stored = unit.events.append(an_event(workspace_id=self.workspace_id, event_type=event_type))
            unit.commit()
        return stored

    def _workspace(self) -> UUID:
        workspace = a_workspace()
        with self.units() as unit:
            unit.access.create_workspace(workspace)
            unit.commit()
        return workspace.id


async def read(
    watches: EventWatches, database: Database, criteria: EventCriteria, *, count: int, then: Step | None = None
) -> list[EventNotice]:
    """Return the first notices of a watch from the beginning of time; after the first one, do something."""
    found: list[EventNotice] = []
    following = watches.follow(database.workspace_id, criteria, token_id=uuid4(), start=start_of(NOON))
    async for notice in following:
        found.append(notice)
        if len(found) == 1 and then is not None:
            await then()
        if len(found) == count:
            break
    await following.aclose()
    return found


def test_a_long_past_without_anything_that_is_wanted_has_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each says up to where it has been read."""
    monkeypatch.setattr(event_watching, "EVENTS_AT_ONCE", 1)
    database = Database()
    stored = [database.store() for _ in range(3)]
    watches = EventWatches(database, heartbeat_s=0.0)  # type: ignore[arg-type]  # all of it that is used
    criteria = EventCriteria(frozenset({"recording.started"}))
    first, *rest = asyncio.run(read(watches, database, criteria, count=4))
    assert first.at == start_of(NOON)
    assert [each.event for each in rest] == [None] * 3
    assert [each.at.id for each in rest] == [each.id for each in stored]


def test_what_is_stored_while_the_past_is_read_is_told_once_and_after_it() -> None:
    """It is found by the look for all, which goes on meanwhile."""
    database = Database()
    watches = EventWatches(database, heartbeat_s=5.0)  # type: ignore[arg-type]  # as above
    past, made = [database.store() for _ in range(3)], []

    async def meanwhile() -> None:
        made.append(database.store())
        await watches.look()

    found = asyncio.run(read(watches, database, EventCriteria(), count=5, then=meanwhile))
    assert [each.event for each in found] == [None, *past, *made]
    assert not watches._watchers  # noqa: SLF001 - who has left is nobody's business but a test's
