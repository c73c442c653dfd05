"""The token bucket: whatever is limited to so many a second is limited by this one rule.

It is the generic cell rate algorithm (ITU-T I.371). A bucket is stored as one moment, the one at which it will be full
again, so nothing has to refill it. Taking tokens moves that moment on; how far it lies ahead says how many are missing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

#: A bucket's content is rounded to so many decimal places. Stored moments have microseconds only, and sums of floats
#: are not exact, so a whole token may come out a little short.
_PLACES: Final = 3


@dataclass(frozen=True, slots=True)
class TokenBucket:
    """A rate and a burst. In all its methods ``full_in_s`` is how many seconds ahead the bucket is full.

    Zero and all that lies in the past mean that it is full now.
    """

    #: How many tokens come in each second; above 0.
    rate_per_s: float
    #: How many tokens a full bucket holds.
    burst: float

    def available(self, full_in_s: float) -> int:
        """Return how many whole tokens may be taken now."""
        missing = max(0.0, full_in_s) * self.rate_per_s
        return max(0, math.floor(round(self.burst - missing, _PLACES)))

    def full_in_s_after(self, count: int, *, full_in_s: float) -> float:
        """Return in how many seconds it is full once ``count`` tokens are taken, which may be more than it holds."""
        return max(0.0, full_in_s) + count / self.rate_per_s

    def wait_s(self, count: int, *, full_in_s: float) -> float:
        """Return in how many seconds it holds ``count`` tokens, at most ``burst``; 0 if it does now."""
        return max(0.0, full_in_s - (self.burst - count) / self.rate_per_s)

    def full_at_after(self, count: int, *, full_at: datetime | None, now: datetime) -> datetime:
        """Return when it is full once ``count`` are taken; ``full_at`` is when it was before that, None if long ago."""
        return now + timedelta(seconds=self.full_in_s_after(count, full_in_s=full_in_s(full_at, now=now)))


def full_in_s(full_at: datetime | None, *, now: datetime) -> float:
    """Return how many seconds ahead the moment lies, 0 or less for one that is over; None lies in the past."""
    return 0.0 if full_at is None else (full_at - now).total_seconds()
