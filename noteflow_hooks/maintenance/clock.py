"""A worker's clock, held against the store's: what is far off is logged, once.

Due times are the store's, whatever a worker's clock says. The time in a signature is the worker's own, and a receiver
refuses one that is too far off.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from noteflow_hooks.signing import DEFAULT_TOLERANCE_S
from noteflow_hooks.telemetry.counting import note
from noteflow_hooks.telemetry.metrics import CLOCK_SKEW

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

#: Beyond this a clock is worth a warning: a tenth of what receivers tolerate (Standard Webhooks).
SKEW_LIMIT: Final = timedelta(seconds=DEFAULT_TOLERANCE_S / 10)


@dataclass(frozen=True, slots=True)
class Skew:
    """How far a clock is ahead of the store's, negative where it is behind, and how far off that may be."""

    ahead: timedelta
    doubt: timedelta

    @property
    def is_wrong(self) -> bool:
        """Whether it is worth a warning, however the doubt is resolved."""
        return abs(self.ahead) - self.doubt > SKEW_LIMIT

    @property
    def side(self) -> str:
        """In words, on which side of the store's clock it is."""
        return "ahead of" if self.ahead > timedelta(0) else "behind"


def _now() -> datetime:
    return datetime.now(UTC)


def measure_skew(store_now: Callable[[], datetime], *, now: Callable[[], datetime] = _now) -> Skew:
    """Ask the store for its time, and hold this process's clock against it."""
    asked_at = now()
    store_time = store_now()
    # The store looked at its clock at some moment in between: how long that took is no skew.
    doubt = (now() - asked_at) / 2
    return Skew(asked_at + doubt - store_time, doubt)


class ClockWatch:
    """Logs when this process's clock has gone wrong, and when it is right again: once each, not at every look."""

    def __init__(self, store_now: Callable[[], datetime], *, now: Callable[[], datetime] = _now) -> None:
        """``store_now`` asks the store for the time."""
        self._store_now = store_now
        self._now = now
        #: What was warned of last; None while the clocks agree.
        self._reported: timedelta | None = None

    def check(self) -> None:
        """Compare both clocks, and log what has changed."""
        skew = measure_skew(self._store_now, now=self._now)
        note(CLOCK_SKEW, abs(skew.ahead).total_seconds())
        if not skew.is_wrong:
            if self._reported is not None:
                log.info("this worker's clock agrees with the database's again")
            self._reported = None
        elif self._reported is None or abs(skew.ahead - self._reported) > SKEW_LIMIT:
            self._reported = skew.ahead
            log.warning(
                "this worker's clock is %.0f s %s the database's: its signatures carry that time, and receivers refuse"
                " what is more than %d s off",
                abs(skew.ahead).total_seconds(),
                skew.side,
                DEFAULT_TOLERANCE_S,
            )
