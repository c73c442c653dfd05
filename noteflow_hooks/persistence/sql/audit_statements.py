"""The statements that write to the audit trail, for units of work and for workers, which have no ORM.

Tallies are locked after the health of their endpoints, in the order of the endpoints' ids.
"""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text

from noteflow_hooks.domain.audit.breakers import TOLD_EVERY, BreakerTally, settle
from noteflow_hooks.domain.audit.entries import AuditEntry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Connection

#: The columns that are written; the database's clock gives ``at``.
WRITTEN: Final = tuple(each.name for each in fields(AuditEntry) if each.name != "at")
_JSON: Final = ("old", "new")

#: Writes one entry.
ADD: Final = f"""
INSERT INTO noteflow.audit_log ({", ".join(WRITTEN)})
VALUES ({", ".join(f"CAST(CAST(:{name} AS text) AS json)" if name in _JSON else f":{name}" for name in WRITTEN)})
"""  # noqa: S608 - constants
_ADD: Final = text(ADD)

_TALLY: Final = tuple(each.name for each in fields(BreakerTally))
_COLUMNS: Final = ", ".join(_TALLY)
_LOCK: Final = text(f"""
SELECT {_COLUMNS} FROM noteflow.breaker_tallies WHERE webhook_id = ANY(CAST(:ids AS uuid[]))
ORDER BY webhook_id
FOR UPDATE
""")  # noqa: S608 - constants
# rule of domain.audit.breakers.BreakerTally.is_ripe
RIPE: Final = "told_at <= now() - CAST(:every AS interval)"
_LOCK_RIPE: Final = text(f"""
SELECT {_COLUMNS}, now() AS moment FROM noteflow.breaker_tallies WHERE {RIPE}
ORDER BY told_at
LIMIT :limit
FOR UPDATE SKIP LOCKED
""")  # noqa: S608 - constants
_KEEP: Final = text(f"""
INSERT INTO noteflow.breaker_tallies ({_COLUMNS}) VALUES ({", ".join(f":{name}" for name in _TALLY)})
ON CONFLICT (webhook_id) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _TALLY[1:])}
""")  # noqa: S608 - constants
_FORGET: Final = text("DELETE FROM noteflow.breaker_tallies WHERE webhook_id = ANY(CAST(:ids AS uuid[]))")


def params_of(entry: AuditEntry) -> dict[str, Any]:
    """Return what :data:`ADD` takes."""
    return {name: _as_json(getattr(entry, name)) if name in _JSON else getattr(entry, name) for name in WRITTEN}


def add_entries(connection: Connection, entries: Iterable[AuditEntry]) -> None:
    """Write entries in a transaction without a unit of work."""
    for each in entries:
        connection.execute(_ADD, params_of(each))


def note_breakers(connection: Connection, changes: Mapping[UUID, tuple[UUID, bool]], *, now: datetime) -> None:
    """Count the changes of breakers whose endpoints' health is locked, and tell what may be told.

    ``changes`` has the workspace of each endpoint, and whether its breaker is open now.
    """
    rows = connection.execute(_LOCK, {"ids": list(changes)})
    kept = {row.webhook_id: BreakerTally(**row._mapping) for row in rows}  # noqa: SLF001 - SQLAlchemy's public name
    changed = [
        kept.get(key, BreakerTally(webhook_id=key, workspace_id=workspace_id)).changed(is_open=is_open, now=now)
        for key, (workspace_id, is_open) in sorted(changes.items())
    ]
    _settle(connection, changed, now=now)


def tell_breakers(connection: Connection, *, limit: int) -> int:
    """Tell what waited for its hour to end, and forget tallies with nothing to tell; return how many entries."""
    rows = connection.execute(_LOCK_RIPE, {"every": TOLD_EVERY, "limit": limit}).all()
    ripe = [BreakerTally(**{name: getattr(row, name) for name in _TALLY}) for row in rows]
    over = [each.webhook_id for each in ripe if each.is_told]
    if over:
        connection.execute(_FORGET, {"ids": over})
    due = [each for each in ripe if not each.is_told]
    if due:
        _settle(connection, due, now=rows[0].moment)
    return len(due)


def _settle(connection: Connection, tallies: Sequence[BreakerTally], *, now: datetime) -> None:
    after, entries = settle(tallies, now=now)
    connection.execute(_KEEP, [{name: getattr(each, name) for name in _TALLY} for each in after])
    add_entries(connection, entries)


def _as_json(details: Mapping[str, Any] | None) -> str | None:
    return None if details is None else json.dumps(details, ensure_ascii=False, separators=(",", ":"))
