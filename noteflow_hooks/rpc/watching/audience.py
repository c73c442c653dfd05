"""All who watch the same on a server: they are let in, and sent away where their token or the server ends."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from noteflow_hooks.errors import UnauthenticatedError
from noteflow_hooks.rpc.interceptors.tokens import REFUSAL

if TYPE_CHECKING:
    from uuid import UUID

    from noteflow_hooks.rpc.runtime.database import Database

#: After so long without a message a heartbeat comes.
HEARTBEAT_S: Final = 15.0


class Reader(Protocol):
    """One who watches."""

    @property
    def token_id(self) -> UUID:
        """The token under which it was let in."""
        ...

    def end(self, error: Exception) -> None:
        """Have it end with this error."""
        ...


EachReader = TypeVar("EachReader", bound=Reader)


class Audience(ABC, Generic[EachReader]):
    """The open watches of one kind. Belongs to one event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._watchers: set[EachReader] = set()
        self._refusal: Exception | None = None
        #: Held while it is looked: who comes meanwhile begins where that look has ended.
        self._looking = asyncio.Lock()

    async def look(self) -> None:
        """Look at what is new, where anybody watches, and have them told."""
        is_behind = True
        while is_behind and self._watchers:
            async with self._looking:
                is_behind = await self._look_once()

    @abstractmethod
    async def _look_once(self) -> bool:
        """Look at what comes next, and return whether there is more behind that."""

    async def check_tokens(self) -> None:
        """End the watches whose token was revoked, or has passed its end, since they began."""
        token_ids = {each.token_id for each in self._watchers}
        if token_ids:
            live = await self._database.run(lambda unit: unit.access.live_tokens(token_ids))
            for watcher in self._watchers:
                if watcher.token_id not in live:
                    watcher.end(UnauthenticatedError(REFUSAL))

    def halt(self, error: Exception) -> None:
        """Have every watch end with this error, and refuse new ones with it."""
        self._refusal = error
        for watcher in self._watchers:
            watcher.end(error)

    def _let_in(self, watcher: EachReader) -> None:
        """Count it among those who watch, unless the server stops."""
        if self._refusal is not None:
            raise self._refusal
        self._watchers.add(watcher)
