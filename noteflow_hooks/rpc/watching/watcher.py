"""One who watches: what is told waits here until it is read, so much and no more; what is beyond is counted."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar

from noteflow_hooks.application.watching import is_wanted

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from noteflow_hooks.application.deliveries import DeliveryView
    from noteflow_hooks.application.watching import Seen
    from noteflow_hooks.domain.paging import DeliveryChange, DeliveryFilter

#: So many wait for a reader; the oldest go first.
WAITING: Final = 500
#: Of so many deliveries it is known what was told last.
_REMEMBERED: Final = 2_000

Item = TypeVar("Item")


class Notice(NamedTuple):
    """What is told: a delivery, or in a heartbeat none."""

    view: DeliveryView | None
    #: Where a watch goes on that begins anew.
    at: datetime
    #: How many were left out before it.
    missed: int = 0


class Inbox(Generic[Item]):
    """What waits for one reader. Belongs to one event loop."""

    def __init__(self) -> None:
        self._waiting: deque[Item] = deque()
        self._missed = 0
        self._is_told = asyncio.Event()
        self._error: Exception | None = None

    def put(self, item: Item) -> None:
        """Have that read; where too many wait, the one that waits for longest is left out, and counted."""
        if len(self._waiting) >= WAITING:
            self._waiting.popleft()
            self._missed += 1
        self._waiting.append(item)
        self._is_told.set()

    def end(self, error: Exception) -> None:
        """Have the reader end with this error, whatever still waits."""
        self._error = error
        self._is_told.set()

    async def take(self, *, within_s: float) -> tuple[Item, int] | None:
        """Return what comes next, and how many were left out before it; None where nothing comes within that time.

        Raise what it has ended with.
        """
        try:
            async with asyncio.timeout(within_s):
                await self._is_told.wait()
        except TimeoutError:
            return None
        if self._error is not None:
            raise self._error
        item, missed, self._missed = self._waiting.popleft(), self._missed, 0
        if not self._waiting:
            self._is_told.clear()
        return item, missed


class Watcher:
    """A watch that is open. Belongs to one event loop."""

    def __init__(self, workspace_id: UUID, token_id: UUID, criteria: DeliveryFilter, *, at: datetime) -> None:
        """``at`` is the moment from which on it is told."""
        self.workspace_id = workspace_id
        self.token_id = token_id
        self.criteria = criteria
        #: Up to when everything was told.
        self.at = at
        self._inbox: Inbox[Notice] = Inbox()
        self._looks: OrderedDict[UUID, tuple[object, ...]] = OrderedDict()

    def wants(self, change: DeliveryChange) -> bool:
        """Tell whether it is to be told of that."""
        return is_wanted(change, self.workspace_id, self.criteria)

    def is_news(self, seen: Seen) -> bool:
        """Tell whether it wants that and was not told the same of it last; from now on it was."""
        if not self.wants(seen.change) or self._looks.get(seen.view.id) == seen.look:
            return False
        self._looks[seen.view.id] = seen.look
        self._looks.move_to_end(seen.view.id)
        if len(self._looks) > _REMEMBERED:
            self._looks.popitem(last=False)
        return True

    def offer(self, seen: Seen, *, since: datetime) -> None:
        """Have it told, if it is news, once it is read; ``since`` is where the look began that has found it."""
        if self.is_news(seen):
            self._inbox.put(Notice(seen.view, since))

    def end(self, error: Exception) -> None:
        """Have it end with this error, whatever still waits."""
        self._inbox.end(error)

    async def next(self, *, within_s: float) -> Notice:
        """Return what is told next, or a heartbeat after so long; raise what it has ended with."""
        taken = await self._inbox.take(within_s=within_s)
        if taken is None:
            return Notice(None, self.at)
        notice, missed = taken
        return notice._replace(missed=missed)
