"""What watchers are told of deliveries, in PostgreSQL: one statement for all of them, whatever they filter by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from noteflow_hooks.persistence.sql.converters import DELIVERY_FIELDS
from noteflow_hooks.persistence.sql.ordered_ids import first_id
from noteflow_hooks.persistence.sql.wire import Statement

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime
    from typing import Any
    from uuid import UUID

#: So far behind the clock it stays for a transaction that is still open: one that somebody has left open, having
#: written something, must not keep what others write from being told.
_PATIENCE: Final = "10 s"
#: For so long a statement may be under way before it writes its first row.
_BEGINNING: Final = "2 s"
#: What is written has the moment of its transaction, or a later one. Read before the rows, by a snapshot of its own: a
#: transaction that is not seen as open any more has committed, and who looks after this sees what it wrote. Sessions of
#: other roles may show nothing of that; then it stays behind them all.
HORIZON: Final = Statement(
    f"""
SELECT least(now(), greatest(coalesce(min(xact_start), now()), now() - interval '{_PATIENCE}'))
    - CASE WHEN bool_or(state IS NULL) THEN interval '{_BEGINNING}' ELSE interval '0' END AS moment
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
  AND (state IS NULL OR backend_xid IS NOT NULL OR xact_start > now() - interval '{_BEGINNING}')
""",  # noqa: S608 - constants
    reads=True,
)
_SHOWN: Final = ", ".join(f"delivery.{name}" for name in DELIVERY_FIELDS)
_CHANGED: Final = f"""
SELECT {_SHOWN}, delivery.workspace_id, event.meeting_id
FROM noteflow.webhook_deliveries AS delivery LEFT JOIN noteflow.webhook_events AS event ON event.id = delivery.event_id
"""  # noqa: S608 - constants
_OLDEST_FIRST: Final = " ORDER BY delivery.created_at, delivery.id"
#: Attempts are found by their ids, which are in the order of time to the millisecond. They are looked up as an array,
#: whatever the planner believes of their number.
CHANGES: Final = Statement(
    f"""
WITH changed AS MATERIALIZED (
    SELECT id FROM noteflow.webhook_deliveries
    WHERE workspace_id = ANY(CAST(:workspace_ids AS uuid[]))
      AND created_at >= CAST(:since AS timestamptz) AND created_at < CAST(:until AS timestamptz)
    UNION
    SELECT delivery_id FROM noteflow.webhook_attempts WHERE id >= CAST(:first AS uuid) AND id < CAST(:last AS uuid)
)
{_CHANGED}
WHERE delivery.id = ANY(ARRAY(SELECT id FROM changed)) AND delivery.workspace_id = ANY(CAST(:workspace_ids AS uuid[]))
{_OLDEST_FIRST}
""",  # noqa: S608 - constants
    reads=True,
)
PRESENT: Final = Statement(f"{_CHANGED} WHERE delivery.id = ANY(CAST(:ids AS uuid[])) {_OLDEST_FIRST}", reads=True)


def window(workspace_ids: Collection[UUID], since: datetime, until: datetime) -> dict[str, Any]:
    """Return what the statement for changes takes."""
    return {
        "workspace_ids": list(workspace_ids),
        "since": since,
        "until": until,
        "first": first_id(since),
        "last": first_id(until),
    }
