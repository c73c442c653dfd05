"""A worker's clock, held against the store's: what is far off is told of, once.

Due times are the store's, whatever a worker's clock says. The time in a signature is the worker's own, and a receiver
refuses one that is too far off.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

#: Beyond this a clock is worth a warning: a tenth of the five minutes that receivers tolerate (Standard Webhooks).
SKEW_LIMIT: Final = timedelta(seconds=30)


def _now() -> datetime:
    return datetime.now(UTC)


class ClockWatch:
    """Tells when this process's clock has gone wrong, and when it is right again: once each, not at every look."""

    def __init__(self, store_now: Callable[[], datetime], *, now: Callable[[], datetime] = _now) -> None:
        """``store_now`` asks the store for the time."""
        self._store_now = store_now
        self._now = now
        #: What was warned of last; None while the clocks agree.
        self._told: timedelta | None = None

    def check(self) -> None:
        """Look at both clocks, and log what has changed."""
        asked_at = self._now()
        told_at = self._store_now()
        # The store looked at its clock at some moment in between: how long that took is no skew.
        doubt = (self._now() - asked_at) / 2
        skew = asked_at + doubt - told_at
        if abs(skew) - doubt <= SKEW_LIMIT:
            if self._told is not None:
                log.info("this worker's clock agrees with the database's again")
            self._told = None
        elif self._told is None or abs(skew - self._told) > SKEW_LIMIT:
            self._told = skew
            log.warning(
                "this worker's clock is %.0f s %s the database's: its signatures carry that time, and receivers refuse"
                " what is more than 300 s off",
                abs(skew).total_seconds(),
                "ahead of" if skew > timedelta(0) else "behind",
            )
