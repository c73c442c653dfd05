"""Compiled schemas that are kept, by their text, within a bound of memory; what was used least lately goes first."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

#: How many bytes all of them may take, by the estimate: 40 of the costliest, hundreds of usual ones.
LIMIT_BYTES: Final = 32_000_000


class Kept(Generic[T]):
    """One for a process; any thread may ask."""

    def __init__(self, *, limit_bytes: int = LIMIT_BYTES) -> None:
        """Keep what takes at most ``limit_bytes`` together."""
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        #: With its size, the longest unused first.
        self._kept: dict[str, tuple[T, int]] = {}
        self._bytes = 0

    def get(self, key: str, make: Callable[[], tuple[T, int]]) -> T:
        """Return what is kept under the key; else what is made, with its size in bytes, and keep that."""
        with self._lock:
            found = self._kept.pop(key, None)
            if found is not None:
                self._kept[key] = found
                return found[0]
        # Two threads may make the same: that costs less than to wait for each other.
        made, size = make()
        with self._lock:
            _, before = self._kept.pop(key, (None, 0))
            self._kept[key] = made, size
            self._bytes += size - before
            while self._bytes > self._limit_bytes:
                _, dropped = self._kept.pop(next(iter(self._kept)))
                self._bytes -= dropped
        return made

    def __len__(self) -> int:
        """Return how many are kept."""
        return len(self._kept)
