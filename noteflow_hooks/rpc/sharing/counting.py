"""The limits of all servers of a group together, counted in their shared memory."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from noteflow_hooks.rpc.interceptors.buckets import Buckets
from noteflow_hooks.rpc.interceptors.open_calls import OpenCalls

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Hashable

    from noteflow_hooks.rpc.sharing.memory import SharedMemory


class SharedCounting:
    """Makes buckets and counts that are the whole group's, as one of its servers uses them."""

    def __init__(self, memory: SharedMemory, *, number: int) -> None:
        """``number`` is this server's."""
        self._memory = memory
        self._number = number

    def buckets(self, name: str, rate_per_s: float, *, burst: float) -> Buckets:
        """Return buckets; those of one name are the same in all servers."""
        return SharedBuckets(self._memory, name, rate_per_s, burst=burst)

    def open_calls(self, name: str, kind: str, *, most: int) -> OpenCalls:
        """Return a count of open calls; those of one name are the same in all servers."""
        return SharedOpenCalls(Tally(self._memory, name, number=self._number), kind, most=most)


class SharedBuckets(Buckets):
    """Buckets of which all servers take. Not for several threads at once."""

    def __init__(
        self,
        memory: SharedMemory,
        name: str,
        rate_per_s: float,
        *,
        burst: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``clock`` must be the same in all processes, as the system's monotonic one is."""
        super().__init__(rate_per_s, burst=burst, clock=clock)
        self._memory = memory
        self._name = name
        self._row = 0

    def take(self, key: Hashable, count: int = 1) -> float:
        """Take as :meth:`Buckets.take` does."""
        if self._bucket is None:
            return 0.0
        with self._memory.lock:
            return super().take(key, count)

    def __len__(self) -> int:
        """Return 0: the rows are the whole group's, and as many as there are."""
        return 0

    def _known(self, key: Hashable, *, default: float) -> float:
        del default  # A row that was never used says 0, which is long ago.
        self._row = self._memory.bucket_rows.of((self._name, key))
        return self._memory.full_at[self._row]

    def _remember(self, key: Hashable, full_at: float) -> None:
        del key  # It was asked for just before.
        self._memory.full_at[self._row] = full_at


class Tally:
    """Counts, by key, what the servers have under way; what a dead one had counts no more."""

    def __init__(self, memory: SharedMemory, name: str, *, number: int) -> None:
        self._memory = memory
        self._name = name
        self._own = number - 1

    def enter(self, key: Hashable, *, most: int | None = None) -> int | None:
        """Count one more and return the cell for :meth:`leave`; None where ``most`` are under way already."""
        memory = self._memory
        with memory.lock:
            row = memory.count_rows.of((self._name, key))
            if most is not None and memory.total(row) >= most:
                return None
            cell = row * memory.count + self._own
            memory.counts[cell] += 1
        return cell

    def leave(self, cell: int, _: object = None) -> None:
        """Count one less."""
        # Without the lock: nobody else changes this cell while this process lives.
        self._memory.counts[cell] -= 1

    def numbers(self, key: Hashable) -> list[int]:
        """Return the other servers that have some of it under way."""
        memory = self._memory
        with memory.lock:
            row = memory.count_rows.known((self._name, key))
        if row is None:
            return []
        cells = memory.counts[row * memory.count : (row + 1) * memory.count]
        return [index + 1 for index, count in enumerate(cells) if count and index != self._own]


class SharedOpenCalls(OpenCalls):
    """How many calls are open in all servers, by key."""

    def __init__(self, tally: Tally, kind: str, *, most: int) -> None:
        super().__init__(kind, most=most)
        self._tally = tally

    def _occupy(self, key: Hashable) -> Callable[[asyncio.Task[Any]], None] | None:
        cell = self._tally.enter(key, most=self._most)
        return None if cell is None else partial(self._tally.leave, cell)
