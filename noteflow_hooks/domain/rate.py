"""The token bucket: whatever is limited to so many a second is limited by this one rule.

It is the generic cell rate algorithm (ITU-T I.371). A bucket is stored as one moment, the one at which it will be full
again, so nothing has to refill it. What is taken moves that moment on. How far it lies ahead says how much is missing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

#: Decimal places to which what a bucket holds is rounded. Stored moments have microseconds only, and sums of floats are
#: never exact: a thousandth of one may be missing.
_PLACES: Final = 3


@dataclass(frozen=True, slots=True)
class TokenBucket:
    """A rate and a burst. In all its methods ``full_in_s`` is how many seconds ahead the bucket is full.

    Zero and all that lies in the past mean that it is full now.
    """

    #: How many come into it each second, above 0.
    rate_per_s: float
    #: How many a full one holds.
    burst: float

    def available(self, full_in_s: float) -> int:
        """Return how many whole ones may be taken now."""
        missing = max(0.0, full_in_s) * self.rate_per_s
        return max(0, math.floor(round(self.burst - missing, _PLACES)))

    def full_in_s_after(self, count: int, *, full_in_s: float) -> float:
        """Return in how many seconds it is full once ``count`` are taken, be it more than it holds."""
        return max(0.0, full_in_s) + count / self.rate_per_s

    def wait_s(self, count: int, *, full_in_s: float) -> float:
        """Return after how many seconds it will hold ``count``; 0 where it does. More than a burst it never holds."""
        return max(0.0, full_in_s - (self.burst - count) / self.rate_per_s)

    def full_at_after(self, count: int, *, full_at: datetime | None, now: datetime) -> datetime:
        """Return when it is full once ``count`` are taken; ``full_at`` is when it was before, None for long ago."""
        return now + timedelta(seconds=self.full_in_s_after(count, full_in_s=full_in_s(full_at, now=now)))


def full_in_s(full_at: datetime | None, *, now: datetime) -> float:
    """Return how many seconds ahead the moment lies, 0 or less for one that is over; None lies in the past."""
    return 0.0 if full_at is None else (full_at - now).total_seconds()
