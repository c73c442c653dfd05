"""How long a failed delivery waits for its next attempt."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

#: The Standard Webhooks schedule (specification, "Retries"): the wait after the first, the second … failed attempt.
STANDARD_SCHEDULE: Final = tuple(timedelta(seconds=s) for s in (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400))
#: The longest wait that a receiver may ask for with ``Retry-After``.
RETRY_AFTER_CAP: Final = timedelta(hours=24)
#: Beyond this exponent the wait is the cap in any case, and 2 ** n would only grow.
_EXPONENT_CAP: Final = 64


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The wait before attempt n+1: ``base * 2 ** (n - 1)`` up to ``cap``, or ``schedule``'s n-th, times the jitter."""

    base: timedelta = timedelta(seconds=1)
    #: The longest exponential wait; a schedule's own waits are not cut.
    cap: timedelta = timedelta(hours=10)
    #: The width of the jitter: 0.2 draws from [0.8, 1.2]; 0 makes waits exact.
    jitter: float = 0.2
    #: None means exponential. Past the end the last wait repeats.
    schedule: tuple[timedelta, ...] | None = None

    def wait(self, failures: int, *, draw: float, retry_after: timedelta | None = None) -> timedelta:
        """Return the wait after that many failed attempts (from 1).

        ``draw`` is one uniform number in [0, 1). The wait is never below ``retry_after``, of which at most 24 h count.
        """
        scheduled = self._scheduled(failures) * (1 + self.jitter * (2 * draw - 1))
        return max(scheduled, min(retry_after, RETRY_AFTER_CAP)) if retry_after is not None else scheduled

    def _scheduled(self, failures: int) -> timedelta:
        if self.schedule is not None:
            return self.schedule[min(failures, len(self.schedule)) - 1]
        exponent = min(failures - 1, _EXPONENT_CAP)
        # Compared before multiplying: timedelta would overflow before the cap could cut it.
        return (
            self.cap
            if self.base.total_seconds() * 2.0**exponent >= self.cap.total_seconds()
            else self.base * 2**exponent
        )
