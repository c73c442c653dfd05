"""Beat's scheduler: its periods go by the monotonic clock, and it shows that it is alive."""

from __future__ import annotations

import logging
import time
from typing import Any

from celery import beat
from celery.schedules import schedstate, schedule

from noteflow_hooks.concurrency.outage import REDIS
from noteflow_hooks.concurrency.pulse import DONE, FAILED
from workers import life

log = logging.getLogger(__name__)
_ScheduleEntry: Any = beat.ScheduleEntry
_Scheduler: Any = beat.Scheduler


class SteadyEntry(_ScheduleEntry):  # type: ignore[misc]  # Celery's class is untyped
    """A task that beat calls, whose period goes by the monotonic clock from when it was made."""

    def __init__(self, *args: Any, began_at: float = 0.0, **kwargs: Any) -> None:  # noqa: ANN401, ARG002 - Celery's own
        """Take what Celery's own takes; each call of the task makes a new entry out of the attributes of this one."""
        super().__init__(*args, **kwargs)
        self.began_at = time.monotonic()

    def is_due(self) -> Any:  # noqa: ANN401 - Celery's own
        """Return whether the period is over, and in how many seconds to ask again."""
        if type(self.schedule) is not schedule:
            return super().is_due()
        period_s = self.schedule.seconds
        left_s = self.began_at + period_s - time.monotonic()
        return schedstate(left_s <= 0, period_s if left_s <= 0 else left_s)


class SteadyScheduler(_Scheduler):  # type: ignore[misc]  # as above
    """Beat's scheduler, for which no wall clock exists: one that is set back by minutes holds nothing up."""

    Entry = SteadyEntry

    def tick(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - Celery's own
        """Do what is due; each call is a turn of beat's loop."""
        life.pulse().show()
        return super().tick(*args, **kwargs)

    def apply_entry(self, entry: SteadyEntry, producer: Any = None) -> None:  # noqa: ANN401 - Celery's own
        """Send the task's message; the next tick makes up for one that Redis refuses."""
        marks = life.pulse().marks
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except Exception as error:  # noqa: BLE001 - Celery's own has no other end either: beat goes on
            marks[FAILED] = time.monotonic()
            REDIS.refused(f"{type(error).__name__}: {error}")
        else:
            marks[DONE] = time.monotonic()
            log.debug("%s is due, and sent", entry.task)
            if REDIS.since is not None:
                REDIS.answered()

    def _ensure_connected(self) -> Any:  # noqa: ANN401 - Celery's own
        """Connect, for as long as it takes."""

        def refused(error: Exception, _interval: float) -> None:
            REDIS.refused(f"{type(error).__name__}: {error}")

        return self.connection.ensure_connection(refused, None, callback=life.pulse().show)

    def _when(self, entry: object, next_time_to_run: float, **_: object) -> float:  # noqa: ARG002 - Celery's own
        return float(time.monotonic() + (self.adjust(next_time_to_run) or 0))
