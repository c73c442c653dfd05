"""One who watches: what is told waits here until it is read, so much and no more; what is beyond is counted."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final, NamedTuple

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


class Notice(NamedTuple):
    """What is told: a delivery, or in a heartbeat none."""

    view: DeliveryView | None
    #: Where a watch goes on that begins anew.
    at: datetime
    #: How many were left out before it.
    missed: int = 0


class Watcher:
    """A watch that is open. Belongs to one event loop."""

    def __init__(self, workspace_id: UUID, token_id: UUID, criteria: DeliveryFilter, *, at: datetime) -> None:
        """``at`` is the moment from which on it is told."""
        self.workspace_id = workspace_id
        self.token_id = token_id
        self.criteria = criteria
        #: Up to when everything was told.
        self.at = at
        self._waiting: deque[Notice] = deque()
        self._looks: OrderedDict[UUID, tuple[object, ...]] = OrderedDict()
        self._missed = 0
        self._is_told = asyncio.Event()
        self._error: Exception | None = None

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
        if not self.is_news(seen):
            return
        if len(self._waiting) >= WAITING:
            self._waiting.popleft()
            self._missed += 1
        self._waiting.append(Notice(seen.view, since))
        self._is_told.set()

    def end(self, error: Exception) -> None:
        """Have it end with this error, whatever still waits."""
        self._error = error
        self._is_told.set()

    async def next(self, *, within_s: float) -> Notice:
        """Return what is told next, or a heartbeat after so long; raise what it has ended with."""
        try:
            async with asyncio.timeout(within_s):
                await self._is_told.wait()
        except TimeoutError:
            return Notice(None, self.at)
        if self._error is not None:
            raise self._error
        notice, missed, self._missed = self._waiting.popleft(), self._missed, 0
        if not self._waiting:
            self._is_told.clear()
        return notice._replace(missed=missed)
