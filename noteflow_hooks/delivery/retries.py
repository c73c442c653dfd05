"""Retries of all tasks of a process, gathered for a moment: those that come due together go in one message.

Each message costs its process a task and two statements, as much as ten deliveries, and beside a failing endpoint every
chunk has a few failures of its own.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from noteflow_hooks.concurrency.collector import BatchCollector
from noteflow_hooks.delivery.settler import grouped
from noteflow_hooks.delivery.tuning import RETRY_GATHER_S

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

#: What comes due sooner is worth more than a message that is saved.
_WORTH_GATHERING: Final = timedelta(seconds=4 * RETRY_GATHER_S)
_NOW: Final = timedelta(0)


class _Retry(NamedTuple):
    delivery_ids: list[UUID]
    #: When they come due, by this process's clock.
    due: float


class GatheredRetries:
    """One for a process."""

    def __init__(
        self, send: Callable[[list[UUID], timedelta], None], *, most: int, monotonic: Callable[[], float]
    ) -> None:
        """``send`` has some deliveries, at most ``most`` of them, sent after a delay; it returns at once."""
        self._send = send
        self._most = most
        self._monotonic = monotonic
        self._gathered: BatchCollector[_Retry] = BatchCollector(self._take, name="retries", gather_s=RETRY_GATHER_S)

    def put(self, delivery_ids: list[UUID], *, delay: timedelta) -> None:
        """Have these sent after the delay, with others that come due within a short window; returns at once."""
        if delay < _WORTH_GATHERING:
            self._send(delivery_ids, delay)
        else:
            self._gathered.put(_Retry(delivery_ids, self._monotonic() + delay.total_seconds()))

    def close(self) -> None:
        """Send what was gathered. To be called once no more comes."""
        self._gathered.close()

    def _take(self, group: list[_Retry]) -> None:
        now = self._monotonic()
        waits = {key: timedelta(seconds=each.due - now) for each in group for key in each.delivery_ids}
        for delay, ids in grouped(waits).items():
            for start in range(0, len(ids), self._most):
                self._send(ids[start : start + self._most], max(_NOW, delay))
