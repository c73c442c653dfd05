"""Token buckets, one for each key, in a bounded number. Each is one moment, so that nothing has to refill them.

The generic cell rate algorithm (ITU-T I.371): a bucket is known by when it would be full again. What is taken moves
that moment on; it is refused where the moment would lie further ahead than a whole burst takes.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

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
        self._interval_s = 1 / rate_per_s if rate_per_s else 0.0
        self._whole_s = burst * self._interval_s
        self._remembered = remembered
        self._clock = clock
        # Two generations: what was not asked for while one filled up is dropped with the other, without a search.
        self._full_at: dict[UUID, float] = {}
        self._full_at_before: dict[UUID, float] = {}

    def take(self, key: UUID) -> float:
        """Take one from the key's bucket and return 0, or return after how many seconds there will be one."""
        now = self._clock()
        full_at = self._full_at.get(key)
        if full_at is None:
            full_at = self._full_at_before.pop(key, now)
        after = max(full_at, now) + self._interval_s
        short_s = after - now - self._whole_s
        # A thousandth of one may be missing: sums of many intervals are never exact.
        taken = short_s <= self._interval_s / 1000
        self._keep(key, after if taken else full_at)
        return 0.0 if taken else short_s

    def __len__(self) -> int:
        """Return how many keys are remembered."""
        return len(self._full_at) + len(self._full_at_before)

    def _keep(self, key: UUID, full_at: float) -> None:
        self._full_at[key] = full_at
        if len(self._full_at) >= self._remembered:
            self._full_at_before, self._full_at = self._full_at, {}
