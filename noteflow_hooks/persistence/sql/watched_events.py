"""What watchers are told of events, in PostgreSQL: up to where all of them can be seen, and those behind a position.

An event's ``created_at`` is read from the clock by the statement that stores it, which has locked the table by then,
and keeps that until its transaction ends. So before the oldest transaction that may have written there, none comes.
"""

from __future__ import annotations

from typing import Final

from noteflow_hooks.domain.events import Event
from noteflow_hooks.persistence.sql.wire import Statement

#: So old a transaction is taken to be whose beginning is hidden from us, as those of other roles may be.
_HIDDEN: Final = "10 s"
#: The locks under which rows can be written.
_WRITING: Final = "'RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'"
#: Read before the rows, by a snapshot of its own: who holds no such lock any more has committed what it wrote by then.
#: The beginning of our own transaction comes before the look at the locks. However long another one stays open, it is
#: waited for: a cursor must not pass what it has still to commit.
HORIZON: Final = Statement(
    f"""
SELECT least(now(), min(coalesce(activity.xact_start, now() - interval '{_HIDDEN}'))) AS moment
FROM pg_locks AS held LEFT JOIN pg_stat_activity AS activity USING (pid)
WHERE held.locktype = 'relation' AND held.granted AND held.mode IN ({_WRITING})
  AND held.relation = to_regclass('noteflow.webhook_events')
  AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
""",  # noqa: S608 - constants
    reads=True,
)
_NAMES: Final = tuple(Event.__dataclass_fields__)
_READ: Final = ", ".join(f"event.{name}::text" if name == "payload" else f"event.{name}" for name in _NAMES)
#: By workspace, so that each is read along its index and no further than asked for.
STORED_AFTER: Final = Statement(
    f"""
SELECT event.* FROM unnest(CAST(:workspace_ids AS uuid[])) AS wanted (workspace_id) CROSS JOIN LATERAL (
    SELECT {_READ} FROM noteflow.webhook_events AS event
    WHERE event.workspace_id = wanted.workspace_id
      AND (event.created_at, event.id) > (CAST(:created_at AS timestamptz), CAST(:id AS uuid))
      AND event.created_at < CAST(:until AS timestamptz)
    ORDER BY event.created_at, event.id LIMIT :limit
) AS event
ORDER BY event.created_at, event.id LIMIT :limit
""",  # noqa: S608 - constants
    reads=True,
)
