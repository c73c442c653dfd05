"""Running replays go on: the workers call this now and then, and each call takes the steps that are due by then.

A step is a transaction of its own. What it makes due is throttled: it waits for a scheduling slot of its endpoint.
"""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from noteflow_hooks.domain.replays import STEP

if TYPE_CHECKING:
    from collections.abc import Callable

    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork

log = logging.getLogger(__name__)

#: How long a call goes on taking steps; a replay as fast as this database can be would otherwise never let it end.
PATIENCE: Final = timedelta(seconds=3)


def advance_replays(
    units: Callable[[], UnitOfWork],
    *,
    within: timedelta = PATIENCE,
    limit: int = STEP,
    monotonic: Callable[[], float] = time.monotonic,
) -> int:
    """Take the steps that are due, each of at most ``limit`` deliveries; return how many deliveries were made due.

    No step begins after ``within``.
    """
    until = monotonic() + within.total_seconds()
    sent = 0
    while monotonic() < until:
        with units() as unit:
            step = unit.replays.advance(limit=limit)
            if step is None:
                break
            unit.commit()
        sent += step
    if sent:
        log.info("%d deliveries are sent again by replays", sent)
    return sent
