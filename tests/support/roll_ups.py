"""Counting all that has happened: a run leaves what is of its own millisecond to the next one."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from tests.support.waiting import until

if TYPE_CHECKING:
    from noteflow_hooks.domain.ports.stats import StatsKeeper

#: The moments in ids are rounded to milliseconds, up as well as down.
_ROUNDING: Final = timedelta(milliseconds=1)


def count_all(keeper: StatsKeeper, *, until_now: datetime) -> None:
    """Run roll-ups until all is counted that has happened by then, by the store's clock.

    They wait for transactions that are still open, other tests' too.
    """

    def is_counted() -> bool:
        counted_to = keeper.roll_up()
        return counted_to is not None and counted_to > until_now + _ROUNDING

    until(is_counted, what="all is counted")
