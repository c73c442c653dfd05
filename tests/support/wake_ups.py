"""Wake-ups that are kept in place of being sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noteflow_hooks.delivery.wake_ups import AT_ONCE, Lane

if TYPE_CHECKING:
    from datetime import timedelta
    from uuid import UUID


class KeptWakeUps:
    """What was enqueued, what is retried later, and which lanes were woken, in their order."""

    def __init__(self) -> None:
        #: Each chunk, and whether it is wanted only where the queue has room.
        self.chunks: list[tuple[list[UUID], bool]] = []
        self.retries: list[tuple[timedelta, list[UUID]]] = []
        self.woken: list[tuple[Lane, timedelta]] = []
        #: How often a task was asked to dispatch what waits.
        self.dispatches = 0

    @property
    def enqueued(self) -> list[UUID]:
        """All that was enqueued."""
        return [each for chunk, _ in self.chunks for each in chunk]

    def enqueue(self, delivery_ids: list[UUID], *, if_room: bool) -> None:
        """Keep the chunk."""
        self.chunks.append((list(delivery_ids), if_room))

    def retry_later(self, delivery_ids: list[UUID], *, delay: timedelta) -> None:
        """Keep what is retried."""
        self.retries.append((delay, delivery_ids))

    def dispatch_more(self) -> None:
        """Count it."""
        self.dispatches += 1

    def wake(self, lane: Lane, *, delay: timedelta = AT_ONCE) -> None:
        """Keep the lane."""
        self.woken.append((lane, delay))
