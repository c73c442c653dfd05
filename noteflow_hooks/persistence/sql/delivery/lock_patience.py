"""When a sweep may reclaim: not right after a lock on the tables that results are stored in.

While somebody rewrites a table (VACUUM FULL, a migration), results wait for it, and their leases run out. The sweep
waits as well, and would win the moment that the lock is gone: what is answered already would be sent twice. So a run
that has waited for a lock reclaims nothing, nor does any other within a period of it. After three such runs in a row
one reclaims all the same: a dead worker's deliveries must come back under lasting contention, too.

The runs in a row are rows of `task_runs`, which no such lock is on, so that any worker's sweep knows of any other's.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import psycopg
from sqlalchemy import text

from noteflow_hooks.domain.ports.maintenance import SWEEP
from noteflow_hooks.errors import UnavailableError

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.engine import Engine

log = logging.getLogger(__name__)

#: Who waited for longer than this has met a lock, and not the moment that a statement takes.
_LONG_S: Final = 1.0
_RUNS_IN_A_ROW: Final = 3
#: However short a period is, results that were refused in the meantime are tried again within two seconds.
_LEAST_REST: Final = timedelta(seconds=2.5)
#: A statement that was cancelled for its timeout, and a lock's own.
_WAITED_TOO_LONG: Final = ("57014", "55P03")
_WAITED: Final = f"{SWEEP} waited "
_GAVE_UP: Final = f"{_WAITED}in vain"

#: Any fixed number that is only ours.
LINE: Final = 1852207991
#: One sweep at a time, and that one behind whoever holds a table, for as long as a statement may take. It tells the
#: rest of the transaction how long that took. Who finds another at it leaves it to that one, which may be frozen.
_QUEUE_UP: Final = text(f"""
DO $$
DECLARE
    began timestamptz;
    usual text := current_setting('lock_timeout');
BEGIN
    PERFORM set_config('noteflow.waited_s', '', true), set_config('lock_timeout', '1s', true);
    BEGIN
        PERFORM pg_advisory_xact_lock({LINE});
    EXCEPTION WHEN lock_not_available THEN
        RETURN;
    END;
    PERFORM set_config('lock_timeout', usual, true);
    began := clock_timestamp();
    LOCK TABLE noteflow.webhook_deliveries, noteflow.webhook_attempts, noteflow.webhook_health IN ROW EXCLUSIVE MODE;
    PERFORM set_config('noteflow.waited_s', CAST(extract(epoch FROM clock_timestamp() - began) AS text), true);
END $$
""")
_LOOK: Final = text("""
SELECT CAST(nullif(current_setting('noteflow.waited_s'), '') AS double precision) AS waited_s,
       count(*) FILTER (WHERE name <> :gave_up) AS runs,
       clock_timestamp() - max(ended_at) FILTER (WHERE name <> :gave_up) AS since_wait,
       clock_timestamp() - max(ended_at) FILTER (WHERE name = :gave_up) AS since_gave_up
FROM noteflow.task_runs WHERE starts_with(name, :waited)
""")
_NOTE: Final = text("""
INSERT INTO noteflow.task_runs (name, began_at, ended_at) VALUES (:name, clock_timestamp(), clock_timestamp())
ON CONFLICT (name) DO UPDATE SET ended_at = clock_timestamp()
""")
_FORGET: Final = text("DELETE FROM noteflow.task_runs WHERE starts_with(name, :waited)")


class LockPatience:
    """Asked in the sweep's transaction, before anything else in it."""

    def __init__(self, engine: Engine, *, period: timedelta) -> None:
        """``period`` is how often sweeps come by."""
        self._engine = engine
        self._rest = max(period, _LEAST_REST)

    def may_reclaim(self, connection: Connection) -> bool:
        """Wait for the tables, and return whether this run may reclaim; what it notes counts with the commit."""
        try:
            connection.execute(_QUEUE_UP)
        except UnavailableError as error:
            if isinstance(error.__cause__, psycopg.Error) and error.__cause__.sqlstate in _WAITED_TOO_LONG:
                with suppress(UnavailableError), self._engine.begin() as another:
                    another.execute(_NOTE, {"name": _GAVE_UP})
            raise
        run = connection.execute(_LOOK, {"waited": _WAITED, "gave_up": _GAVE_UP}).one()
        if run.waited_s is None:
            return False
        if run.waited_s > _LONG_S and run.runs < _RUNS_IN_A_ROW:
            connection.execute(_NOTE, {"name": f"{_WAITED}{run.runs + 1}"})
            log.warning("the sweep waited %.1f s for a lock on the deliveries; nothing is reclaimed now", run.waited_s)
            return False
        if run.waited_s <= _LONG_S and self._rests(run.since_wait, run.since_gave_up):
            return False
        if run.runs or run.since_gave_up is not None:
            connection.execute(_FORGET, {"waited": _WAITED})
        return True

    def _rests(self, since_wait: timedelta | None, since_gave_up: timedelta | None) -> bool:
        """Return whether a lock was there a period ago; one that was waited for in vain may have outlasted a period."""
        ends = ((since_wait, self._rest), (since_gave_up, 2 * self._rest))
        return any(since is not None and since < rest for since, rest in ends)
