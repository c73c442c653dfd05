"""A server's open watches of deliveries: one look a second for all of them together, and none where nobody watches."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from noteflow_hooks.application.watching import horizon, look
from noteflow_hooks.rpc.messages.pages import ROWS_AT_ONCE
from noteflow_hooks.rpc.watching.audience import HEARTBEAT_S, Audience
from noteflow_hooks.rpc.watching.watcher import Notice, Watcher

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from datetime import datetime
    from uuid import UUID

    from noteflow_hooks.application.watching import Look
    from noteflow_hooks.domain.paging import DeliveryChange, DeliveryFilter
    from noteflow_hooks.rpc.runtime.database import Database

#: Of the deliveries that were told as waiting, so many are looked at again, each time that so many looks have passed.
_LEFT: Final = 2_000
_LEFT_EVERY: Final = 5


class Watches(Audience[Watcher]):
    """The open watches of deliveries. Belongs to one event loop."""

    def __init__(self, database: Database, *, heartbeat_s: float = HEARTBEAT_S) -> None:
        super().__init__(database)
        self._heartbeat_s = heartbeat_s
        #: Up to when has been looked; None while nobody watches.
        self._until: datetime | None = None
        #: Notice as not settled, the one told longest ago first: they may end without an attempt.
        self._left: OrderedDict[UUID, None] = OrderedDict()
        self._looks = 0

    async def follow(
        self, workspace_id: UUID, criteria: DeliveryFilter, *, token_id: UUID, since: datetime | None
    ) -> AsyncGenerator[Notice]:
        """Yield what is told: a heartbeat at once, then what has changed from ``since`` on, and whatever changes.

        Raise what the watch is ended with.
        """
        watcher = await self._enter(workspace_id, criteria, token_id=token_id)
        try:
            begun = watcher.at
            yield Notice(None, begun if since is None else min(since, begun))
            if since is not None:
                async with aclosing(self._catch_up(watcher, since, until=begun)) as earlier:
                    async for notice in earlier:
                        yield notice
            while True:
                yield await watcher.next(within_s=self._heartbeat_s)
        finally:
            self._leave(watcher)

    @override
    async def _look_once(self) -> bool:
        since, watchers = self._until, tuple(self._watchers)
        if since is None:
            return False
        self._looks += 1
        again = () if self._looks % _LEFT_EVERY else tuple(self._left)
        found = await self._read(watchers, since, again=again)
        await self._tell(found, watchers, since)
        if self._watchers:
            self._until = found.until
        return found.is_behind

    async def _enter(self, workspace_id: UUID, criteria: DeliveryFilter, *, token_id: UUID) -> Watcher:
        async with self._looking:
            if self._until is None:
                self._until = await self._database.run(horizon)
            watcher = Watcher(workspace_id, token_id, criteria, at=self._until)
            self._let_in(watcher)
        return watcher

    def _leave(self, watcher: Watcher) -> None:
        self._watchers.discard(watcher)
        if not self._watchers:
            self._until = None
            self._left.clear()

    async def _catch_up(self, watcher: Watcher, since: datetime, *, until: datetime) -> AsyncGenerator[Notice]:
        """Yield what has changed from ``since`` until where the watch began."""
        while since < until:
            found = await self._read((watcher,), since)
            for seen in found.seen:
                if watcher.is_news(seen):
                    yield Notice(seen.view, since)
            since = found.until

    async def _read(self, watchers: tuple[Watcher, ...], since: datetime, *, again: tuple[UUID, ...] = ()) -> Look:
        workspace_ids = {each.workspace_id for each in watchers}

        def wants(change: DeliveryChange) -> bool:
            return any(each.wants(change) for each in watchers)

        return await self._database.run(lambda unit: look(unit, workspace_ids, since=since, wants=wants, again=again))

    async def _tell(self, found: Look, watchers: tuple[Watcher, ...], since: datetime) -> None:
        for number, seen in enumerate(found.seen, start=1):
            if not number % ROWS_AT_ONCE:
                # Two thousand for twenty who watch take a tenth of a second: others go on in between.
                await asyncio.sleep(0)
            self._note(seen.view.id, is_final=seen.view.is_final)
            for watcher in watchers:
                watcher.offer(seen, since=since)
        for watcher in watchers:
            watcher.at = max(watcher.at, found.until)

    def _note(self, delivery_id: UUID, *, is_final: bool) -> None:
        self._left.pop(delivery_id, None)
        if not is_final:
            self._left[delivery_id] = None
            if len(self._left) > _LEFT:
                self._left.popitem(last=False)
