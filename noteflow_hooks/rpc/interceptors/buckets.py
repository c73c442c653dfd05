"""Token buckets in memory, one for each key, in a bounded number. Their rule is the one of ``domain/rate.py``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from noteflow_hooks.domain.rate import TokenBucket

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

#: How many keys are remembered at least. One that is forgotten before it is full again gets its burst anew.
_REMEMBERED: Final = 10_000


class Buckets:
    """Buckets of one size and one rate. Not for several threads at once."""

    def __init__(
        self,
        rate_per_s: float,
        *,
        burst: float,
        remembered: int = _REMEMBERED,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``burst`` is how many may be taken from a full bucket at once; a rate of 0 means that nothing is refused."""
        self._bucket = TokenBucket(rate_per_s, burst) if rate_per_s else None
        self._most = max(1, int(burst))
        self._remembered = remembered
        self._clock = clock
        # Two generations: when the younger one is large enough it becomes the older one, and what was in that and has
        # not been asked for since is dropped with it, without a search.
        self._full_at: dict[Hashable, float] = {}
        self._full_at_before: dict[Hashable, float] = {}

    def take(self, key: Hashable, count: int = 1) -> float:
        """Take ``count`` from the key's bucket and return 0, or return after how many seconds there will be so many.

        More than the bucket holds may be taken from a full one; what comes after that waits for all of it.
        """
        if self._bucket is None:
            return 0.0
        now = self._clock()
        full_in_s = self._known(key, default=now) - now
        needed = min(count, self._most)
        if self._bucket.available(full_in_s) >= needed:
            self._remember(key, now + self._bucket.full_in_s_after(count, full_in_s=full_in_s))
            return 0.0
        self._remember(key, now + full_in_s)
        return self._bucket.wait_s(needed, full_in_s=full_in_s)

    def __len__(self) -> int:
        """Return how many keys are remembered."""
        return len(self._full_at) + len(self._full_at_before)

    def _known(self, key: Hashable, *, default: float) -> float:
        """Return when the key's bucket is full, and take it out of the older generation."""
        full_at = self._full_at.get(key)
        return full_at if full_at is not None else self._full_at_before.pop(key, default)

    def _remember(self, key: Hashable, full_at: float) -> None:
        self._full_at[key] = full_at
        if len(self._full_at) >= self._remembered:
            self._full_at_before, self._full_at = self._full_at, {}
