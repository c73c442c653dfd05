"""Retries of all tasks of a process, gathered for a while: those that come due together go in one message.

Each message costs its process a task and two statements, as much as ten deliveries, and beside a failing endpoint every
chunk has a few failures of its own. Of two messages for the same moment one finds nothing, since the first task tops
itself up with all that is due.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from noteflow_hooks.concurrency.collector import BatchCollector
from noteflow_hooks.delivery.settler import grouped
from noteflow_hooks.delivery.tuning import RETRY_GATHER_S, RETRY_HELD_S, RETRY_WINDOW

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

#: What comes due sooner is worth more than a message that is saved.
_WORTH_GATHERING: Final = timedelta(seconds=8 * RETRY_GATHER_S)
#: So long before it comes due a retry leaves: the message is to be with a worker by then.
_AHEAD_S: Final = 4 * RETRY_GATHER_S
_NOW: Final = timedelta(0)


class _Retry(NamedTuple):
    delivery_ids: list[UUID]
    #: When they come due, and when they leave in a message at the latest, by this process's clock.
    due: float
    leave_by: float


class GatheredRetries:
    """One for a process."""

    def __init__(
        self, send: Callable[[list[UUID], timedelta], None], *, most: int, monotonic: Callable[[], float]
    ) -> None:
        """``send`` has some deliveries, at most ``most`` of them, sent after a delay; it returns at once."""
        self._send = send
        self._most = most
        self._monotonic = monotonic
        self._ends = False
        self._gathered: BatchCollector[_Retry] = BatchCollector(self._take, name="retries", gather_s=RETRY_GATHER_S)

    def put(self, delivery_ids: list[UUID], *, delay: timedelta) -> None:
        """Have these sent after the delay, with others that come due within a short window; returns at once."""
        if delay < _WORTH_GATHERING:
            self._send(delivery_ids, delay)
        else:
            now, wait_s = self._monotonic(), delay.total_seconds()
            self._gathered.put(_Retry(delivery_ids, now + wait_s, now + min(RETRY_HELD_S, wait_s - _AHEAD_S)))

    def close(self) -> None:
        """Send what was gathered. To be called once no more comes."""
        self._ends = True
        self._gathered.close()

    def _take(self, group: list[_Retry]) -> None:
        """Send those that have waited long enough, with what comes due shortly after them; gather the others anew."""
        now = self._monotonic()
        leaving, others = (group, []) if self._ends else _parted(group, now)
        for each in others:
            self._gathered.put(each)
        waits = {key: timedelta(seconds=each.due - now) for each in leaving for key in each.delivery_ids}
        for delay, ids in grouped(waits).items():
            for start in range(0, len(ids), self._most):
                self._send(ids[start : start + self._most], max(_NOW, delay))


def _parted(group: Sequence[_Retry], now: float) -> tuple[list[_Retry], list[_Retry]]:
    """Part those that leave now, or come due within a window of one that does, from all others."""
    moments = sorted(each.due for each in group if each.leave_by <= now)
    leaving: list[_Retry] = []
    others: list[_Retry] = []
    for each in group:
        place = bisect_right(moments, each.due)
        is_near = place and each.due - moments[place - 1] <= RETRY_WINDOW.total_seconds()
        (leaving if is_near else others).append(each)
    return leaving, others
