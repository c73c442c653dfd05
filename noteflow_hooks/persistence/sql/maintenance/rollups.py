"""The keeper of the roll-ups, in PostgreSQL: what is counted, the totals and how far it has come change together.

It counts up to a moment before which nothing can come any more that is not seen yet. A transaction that somebody leaves
open, having written to what is counted, holds it back for as long: figures get older then, and nothing is left out.
"""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from typing_extensions import override

from noteflow_hooks.domain.ports.stats import StatsKeeper
from noteflow_hooks.domain.stats import HOUR, MINUTE, MINUTES_KEPT, Count
from noteflow_hooks.persistence.sql.maintenance import rollup_statements as statements
from noteflow_hooks.persistence.sql.ordered_ids import EPOCH, first_id, moment_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import TextClause
    from sqlalchemy.engine import Connection, Engine

log = logging.getLogger(__name__)

#: For about how long a sweep counts what has happened; the next one goes on with what is left.
COUNTED_FOR: Final = timedelta(seconds=2)
#: So much time's rows are counted in a transaction.
_STEP: Final = timedelta(minutes=10)
#: How often the horizon is looked for while transactions are open whose age is hidden from us, and the pause between.
_LOOKS: Final = 20
_PAUSE_S: Final = 0.01
#: So far back what was counted can be counted once more: the minutes are still there.
_RECOUNTED: Final = MINUTES_KEPT - HOUR


class Progress(NamedTuple):
    """How far counting has come."""

    #: What has moments before this was counted.
    counted_to: datetime
    #: What has moments from this on may not all have been there; before ``counted_to`` where the clock was set back.
    seen_to: datetime


class SqlAlchemyStatsKeeper(StatsKeeper):
    """The keeper of the roll-ups in PostgreSQL."""

    def __init__(self, engine: Engine, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Work through this engine."""
        self._engine = engine
        self._monotonic = monotonic

    @override
    def roll_up(self, *, within: timedelta | None = None) -> datetime | None:
        began, came_to = self._monotonic(), None
        while (step := self._step()) is not None:
            came_to, is_behind = step
            if not is_behind or (within is not None and self._monotonic() - began >= within.total_seconds()):
                break
        return came_to

    def roll_up_some(self) -> datetime | None:
        """Do as a sweep does: for a while, and the next one goes on."""
        return self.roll_up(within=COUNTED_FOR)

    def counted_to(self) -> datetime:
        """Return up to when everything is counted, the beginning of time where nothing is."""
        with self._engine.connect() as connection:
            found: datetime | None = connection.execute(statements.COUNTED_TO).scalar_one_or_none()
        return found if found is not None else EPOCH

    @override
    def totals(self) -> Sequence[Count]:
        with self._engine.connect() as connection:
            return [Count(*row) for row in connection.execute(statements.TOTALS)]

    def _step(self) -> tuple[datetime, bool] | None:
        """Count one window; return up to when everything is counted and whether there is more, None if others do."""
        with self._engine.begin() as connection:
            progress = _begin(connection)
            if progress is None:
                return None
            horizon = _horizon(connection)
            if horizon is None:
                return progress.counted_to, False
            after = _recounted(connection, progress, horizon) or _counted(connection, progress, horizon)
            connection.execute(statements.NOTE, after._asdict())
            return after.counted_to, after.counted_to < horizon


def _begin(connection: Connection) -> Progress | None:
    row = connection.execute(statements.BEGIN).one_or_none()
    if row is None:
        # Another one counts; or somebody has emptied the table.
        connection.execute(statements.CREATE)
        row = connection.execute(statements.BEGIN).one_or_none()
        if row is None:
            return None
    if row.counted_to is not None:
        return Progress(row.counted_to, row.seen_to if row.seen_to is not None else row.counted_to)
    oldest = connection.execute(statements.OLDEST).scalar_one()
    begins = oldest if oldest is not None else connection.execute(statements.HORIZON).one().moment
    return Progress(begins, begins)


def _horizon(connection: Connection) -> datetime | None:
    for _ in range(_LOOKS):
        row = connection.execute(statements.HORIZON).one()
        if not row.is_hidden:
            moment: datetime = row.moment
            return moment
        time.sleep(_PAUSE_S)
    return None


def _recounted(connection: Connection, progress: Progress, horizon: datetime) -> Progress | None:
    """Count once more what may have come since among what was counted, after the clock was set back."""
    first = min(progress.seen_to, horizon)
    if first >= progress.counted_to:
        return None
    begins = max(_minute(first), _minute(progress.counted_to - _RECOUNTED))
    if begins > first:
        log.warning("the database's clock was set back by more than two days: figures leave out what happens meanwhile")
    _run(connection, statements.RECOUNT, begins, progress.counted_to)
    # What is still to come has moments from the horizon on.
    return Progress(progress.counted_to, min(horizon, progress.counted_to))


def _counted(connection: Connection, progress: Progress, horizon: datetime) -> Progress:
    begins = progress.counted_to
    if horizon - begins > MINUTE:
        begins = min(_next(connection, begins, horizon), horizon)
    ends = min(begins + _STEP, horizon)
    if begins < ends:
        _run(connection, statements.COUNT, begins, ends)
    return Progress(ends, ends)


def _next(connection: Connection, begins: datetime, horizon: datetime) -> datetime:
    """Return when something happened first from then on, the horizon where nothing did."""
    identifier = connection.execute(statements.NEXT_ATTEMPT, {"first": first_id(begins)}).scalar_one_or_none()
    happened = connection.execute(statements.NEXT, {"begins": begins}).scalar_one()
    attempted = None if identifier is None else moment_of(identifier)
    moments = [each for each in (happened, attempted) if each is not None]
    # An id is of a millisecond, in which the window may begin.
    return max(begins, min(moments, default=horizon))


def _run(connection: Connection, statement: TextClause, begins: datetime, ends: datetime) -> None:
    minutes = [_minute(begins)]
    while minutes[-1] + MINUTE < ends:
        minutes.append(minutes[-1] + MINUTE)
    bounds = [begins, *minutes[1:], ends]
    params = {
        "minutes": minutes,
        "begins": bounds[:-1],
        "ends": bounds[1:],
        "firsts": [first_id(each) for each in bounds[:-1]],
        "lasts": [first_id(each) for each in bounds[1:]],
    }
    connection.execute(statement, params)


def _minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)
