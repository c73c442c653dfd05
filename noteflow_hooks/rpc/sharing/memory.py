"""The memory that the servers of a group share: who serves, when buckets are full again, and what each has open.

It is a file without a name, mapped by all. Whoever changes more than its own cells holds the file's lock, which the
kernel lets go of when a process dies. What a dead server had open is cleared by its supervisor.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import time
from array import array
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

#: The keys that are known at once, of buckets and of what is open. Memory is used only for rows that were.
ROWS: Final = 16_384
#: A key's row is one of so many, from a place on that its digest gives.
_WINDOW: Final = 64
_DIGEST: Final = 16
_NUMBER: Final = 8
_UNUSED: Final = bytes(_DIGEST)
#: So many keys' rows are remembered in each process.
_REMEMBERED: Final = 10_000
#: How long the lock is waited for. Its holder needs microseconds, and milliseconds where others use its core: one that
#: takes longer was stopped in the midst.
_PATIENCE_S: Final = 0.25
#: After that this process doesn't wait for it for so long. What two change at once without the lock may be miscounted.
_WITHOUT_S: Final = 2.0
#: So often it is tried while others may run; then with pauses.
_TRIES: Final = 20
_PAUSE_S: Final = 0.0002


def create_memory(count: int) -> int:
    """Make the memory of a group of so many servers, and return its file descriptor."""
    descriptor = os.memfd_create("noteflow-hooks-servers")
    os.ftruncate(descriptor, _layout(count)[-1])
    return descriptor


class Lock:
    """The file's lock, for one event loop. A holder that was stopped holds up the others only for a moment."""

    def __init__(self, descriptor: int) -> None:
        # Opened anew: a lock belongs to an open file, and an inherited one would be everybody's.
        self._file = os.open(f"/proc/self/fd/{descriptor}", os.O_RDWR | os.O_CLOEXEC)
        self._without_until = 0.0

    def __enter__(self) -> None:
        if not self._try() and time.monotonic() >= self._without_until:
            self._wait()

    def __exit__(self, *_: object) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def _try(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _wait(self) -> None:
        for _ in range(_TRIES):
            # The holder may need this very core.
            os.sched_yield()
            if self._try():
                return
        until = time.monotonic() + _PATIENCE_S
        while not self._try():
            if time.monotonic() >= until:
                self._without_until = time.monotonic() + _WITHOUT_S
                return
            time.sleep(_PAUSE_S)


class SharedMemory:
    """The memory as one process sees it, for as long as that lives. Belongs to one event loop."""

    def __init__(self, descriptor: int, *, count: int) -> None:
        """``count`` is how many servers the group has."""
        self.count = count
        self.lock = Lock(descriptor)
        pids, buckets, full_at, keys, counts, end = _layout(count)
        self._map = mmap.mmap(descriptor, end)
        whole = memoryview(self._map)
        #: The processes that serve, by number; 0 for none.
        self.pids = whole[pids:buckets].cast("q")
        #: When each bucket is full again, by the monotonic clock.
        self.full_at = whole[full_at:keys].cast("d")
        #: How many of each row's key are open, in a cell for each server, which that one alone changes.
        self.counts = whole[counts:end].cast("q")
        self.bucket_rows = Rows(self._map, buckets, order=self._full_in_s, renew=self._fill)
        self.count_rows = Rows(self._map, keys, order=self.total)

    def total(self, row: int) -> int:
        """Return how many are open of the row's key, in all servers."""
        return sum(self.counts[row * self.count : (row + 1) * self.count])

    def clear(self, number: int) -> None:
        """Forget what the server of that number had open, once its process has ended."""
        with self.lock:
            self.pids[number - 1] = 0
            self.counts[number - 1 :: self.count] = memoryview(array("q", bytes(_NUMBER * ROWS)))

    def _full_in_s(self, row: int) -> float:
        return max(0.0, self.full_at[row] - time.monotonic())

    def _fill(self, row: int) -> None:
        self.full_at[row] = 0.0


class Rows:
    """Which row belongs to which key. Call it under the lock."""

    def __init__(
        self,
        memory: mmap.mmap,
        start: int,
        *,
        order: Callable[[int], float],
        renew: Callable[[int], None] = lambda _: None,
    ) -> None:
        """``order`` is 0 for a row that a new key may take; where there is none, it takes the one of the lowest.

        ``renew`` is called for the row that it has taken.
        """
        self._memory = memory
        self._start = start
        self._order = order
        self._renew = renew
        self._known: dict[Hashable, tuple[int, bytes]] = {}

    def of(self, key: Hashable) -> int:
        """Return the key's row; where it has none yet, one that nobody needs."""
        known = self._known.get(key)
        if known is not None and self._digest_in(known[0]) == known[1]:
            return known[0]
        digest = known[1] if known is not None else _digest(key)
        row = self.find(digest)
        if row is None:
            row = self._take(digest)
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[key] = (row, digest)
        return row

    def known(self, key: Hashable) -> int | None:
        """Return the key's row, None where it has none."""
        return self.find(_digest(key))

    def find(self, digest: bytes) -> int | None:
        """Return the row that has this digest."""
        first = self._start + _DIGEST * _place(digest)
        at = self._memory.find(digest, first, first + _DIGEST * _WINDOW)
        return None if at < 0 or (at - first) % _DIGEST else (at - self._start) // _DIGEST

    def _take(self, digest: bytes) -> int:
        window = range(_place(digest), _place(digest) + _WINDOW)
        row = next((row for row in window if self._digest_in(row) == _UNUSED or not self._order(row)), None)
        if row is None:
            # So many at once come only where somebody tries for it: one bucket starts anew, or two keys count as one.
            row = min(window, key=self._order)
        at = self._start + _DIGEST * row
        self._memory[at : at + _DIGEST] = digest
        self._renew(row)
        return row

    def _digest_in(self, row: int) -> bytes:
        at = self._start + _DIGEST * row
        return self._memory[at : at + _DIGEST]


def _digest(key: Hashable) -> bytes:
    return blake2b(repr(key).encode(), digest_size=_DIGEST).digest()


def _place(digest: bytes) -> int:
    return int.from_bytes(digest[:4], "little") % (ROWS - _WINDOW)


def _layout(count: int) -> tuple[int, ...]:
    """Return where each part begins, and where the last one ends."""
    sizes = (_NUMBER * count, _DIGEST * ROWS, _NUMBER * ROWS, _DIGEST * ROWS, _NUMBER * ROWS * count)
    starts = [0]
    for size in sizes:
        starts.append(starts[-1] + size)
    return tuple(starts)
