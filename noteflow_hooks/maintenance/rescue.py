"""What relay and sweep find: work whose wake-up was lost, and deliveries that dead workers hold past their leases.

A message makes its task take a whole chunk, whichever ids it names. So each run names fewer chunks, by as many as are
queued already, and messages don't pile up.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Final

from noteflow_hooks.domain.ports.delivery_store import EVENTS_PER_ROUND

if TYPE_CHECKING:
    from datetime import timedelta
    from uuid import UUID

    from noteflow_hooks.domain.ports.delivery_store import DeliveryStore

log = logging.getLogger(__name__)

#: The most messages that relay and sweep let wait in a queue; what is beyond is named by a later run.
QUEUE_BOUND: Final = 200
#: The most wake-ups that the sweep lets wait in a lane's queue.
WAKE_UPS_BOUND: Final = 8
#: How many expired leases one transaction reclaims.
_RECLAIM_PAGE: Final = 500


class Rescue:
    """Finds work for which no wake-up is on its way; one for each worker process."""

    def __init__(self, store: DeliveryStore, *, chunk: int) -> None:
        """``chunk`` is how many deliveries one message names."""
        self._store = store
        self._chunk = chunk

    def reclaim_expired(self) -> int:
        """Reclaim the deliveries whose leases have expired; return how many."""
        reclaimed = 0
        while count := self._store.reclaim_expired(limit=_RECLAIM_PAGE):
            reclaimed += count
            log.warning("%d deliveries were reclaimed from workers that held them past their lease", count)
            if count < _RECLAIM_PAGE:
                break
        return reclaimed

    def overdue(self, *, by: timedelta, queued: int) -> list[list[UUID]]:
        """Return, in chunks, the deliveries that are overdue by so long, without as many chunks as are queued."""
        return _chunks(self._store.due(overdue_by=by, limit=QUEUE_BOUND * self._chunk), self._chunk)[queued:]

    def wake_ups(self, *, queued: int, queued_slow: int) -> tuple[int, int]:
        """Return how many wake-ups the endpoints' scheduling slots need, in the quick and in the slow lane."""
        waiting = self._store.count_throttled(limit=QUEUE_BOUND * self._chunk)
        quick, slow = (math.ceil(each / self._chunk) for each in (waiting.quick, waiting.slow))
        return max(0, min(quick, WAKE_UPS_BOUND) - queued), max(0, min(slow, WAKE_UPS_BOUND) - queued_slow)

    def undispatched(self, *, older_than: timedelta, queued: int) -> list[list[UUID]]:
        """Return, in chunks, the events committed so long ago and not dispatched, without as many as are queued."""
        waiting = self._store.undispatched(older_than=older_than, limit=QUEUE_BOUND * EVENTS_PER_ROUND)
        return _chunks(waiting, EVENTS_PER_ROUND)[queued:]


def _chunks(ids: list[UUID], size: int) -> list[list[UUID]]:
    return [ids[start : start + size] for start in range(0, len(ids), size)]
