"""All open watches of events of a server: one look a second for all of them together, and none where nobody watches."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from typing_extensions import override

from noteflow_hooks.application.event_watching import begin, filtered, look, order_of
from noteflow_hooks.rpc.messages.pages import ROWS_AT_ONCE
from noteflow_hooks.rpc.watching.audience import HEARTBEAT_S, Audience
from noteflow_hooks.rpc.watching.event_watcher import EventNotice, EventWatcher

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable
    from uuid import UUID

    from noteflow_hooks.application.event_watching import EventCriteria, EventLook
    from noteflow_hooks.domain.paging import Position
    from noteflow_hooks.domain.ports.filters import FilterEvaluator
    from noteflow_hooks.rpc.runtime.database import Database


class EventWatches(Audience[EventWatcher]):
    """The open watches of events. Belongs to one event loop."""

    def __init__(
        self, database: Database, *, heartbeat_s: float = HEARTBEAT_S, filters: FilterEvaluator | None = None
    ) -> None:
        """``filters`` asks the filters of endpoints that are watched for; without it they hold nothing back."""
        super().__init__(database)
        self._filters = filters
        self._heartbeat_s = heartbeat_s
        #: Up to where has been looked; None while nobody watches.
        self._until: Position | None = None

    async def follow(
        self, workspace_id: UUID, criteria: EventCriteria, *, token_id: UUID, start: Position | None
    ) -> AsyncGenerator[EventNotice]:
        """Yield what is told: a heartbeat at once, then what stands behind ``start``, and whatever is stored.

        Raise NotFoundError for an endpoint that is not there, and what the watch is ended with.
        """
        watcher = await self._enter(workspace_id, criteria, token_id=token_id)
        begun = watcher.at
        try:
            if start is not None:
                # What is told while the earlier ones are read comes after them, and from a later start on only.
                watcher.pass_by(start)
            yield EventNotice(None, begun if start is None else start)
            if start is not None:
                async with aclosing(self._catch_up(watcher, start, until=begun)) as earlier:
                    async for notice in earlier:
                        yield notice
            while True:
                yield await watcher.next(within_s=self._heartbeat_s)
        finally:
            self._leave(watcher)

    @override
    async def _look_once(self) -> bool:
        after, watchers = self._until, tuple(self._watchers)
        if after is None:
            return False
        found = await self._read(watchers, after)
        await self._tell(found, watchers)
        if self._watchers:
            self._until = found.until
        return found.is_behind

    async def _enter(self, workspace_id: UUID, criteria: EventCriteria, *, token_id: UUID) -> EventWatcher:
        async with self._looking:
            now = await self._database.run(lambda unit: begin(unit, workspace_id, criteria))
            watcher = EventWatcher(workspace_id, token_id, criteria, at=self._until or now)
            self._let_in(watcher)
            self._until = watcher.at
        return watcher

    def _leave(self, watcher: EventWatcher) -> None:
        self._watchers.discard(watcher)
        if not self._watchers:
            self._until = None

    async def _catch_up(
        self, watcher: EventWatcher, start: Position, *, until: Position
    ) -> AsyncGenerator[EventNotice]:
        """Yield what stands behind ``start``, up to where the watch began; where that takes long, heartbeats too."""
        loop, position = asyncio.get_running_loop(), start
        told_at = loop.time()
        while order_of(position) < order_of(until):
            found = await self._read((watcher,), position)
            for event in found.events:
                if order_of(at := EventNotice.of(event).at) > order_of(until):
                    return
                if watcher.criteria.is_met(event, found):
                    yield EventNotice(event, at)
                    told_at = loop.time()
            position = found.until
            if loop.time() - told_at >= self._heartbeat_s:
                yield EventNotice(None, position)
                told_at = loop.time()

    async def _read(self, watchers: Iterable[EventWatcher], after: Position) -> EventLook:
        workspace_ids = {each.workspace_id for each in watchers}
        webhook_ids = {each.criteria.webhook_id for each in watchers if each.criteria.webhook_id is not None}
        found = await self._database.run(lambda unit: look(unit, workspace_ids, after=after, webhook_ids=webhook_ids))
        return await asyncio.to_thread(filtered, found, self._filters) if found.asks_filters else found

    async def _tell(self, found: EventLook, watchers: Iterable[EventWatcher]) -> None:
        for number, event in enumerate(found.events, start=1):
            if not number % ROWS_AT_ONCE:
                # Many events for many who watch take long: others go on in between.
                await asyncio.sleep(0)
            for watcher in watchers:
                watcher.offer(event, found)
        for watcher in watchers:
            watcher.pass_by(found.until)
