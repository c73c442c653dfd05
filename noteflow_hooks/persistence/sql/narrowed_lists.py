"""Lists that callers narrow down: for each set of conditions that is asked for its statements, which are made once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.persistence.sql.paging import PageStatements

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from noteflow_hooks.domain.paging import DeliveryFilter, EventFilter

#: By the names of a filter's fields.
# rule of domain.matching.meets
# rule of domain.matching.is_listed
_CONDITIONS: Final = {
    "webhook_id": "webhook_id = :webhook_id",
    "meeting_id": "meeting_id = :meeting_id",
    "status": "status = :status",
    "event_type": "event_type = :event_type",
    "created_after": "created_at >= CAST(:created_after AS timestamptz)",
    "created_before": "created_at < CAST(:created_before AS timestamptz)",
}


class NarrowedLists:
    """The lists of one table, of one workspace each."""

    def __init__(self, columns: str, table: str) -> None:
        """``columns`` are what is read of the ``table``."""
        self._columns = columns
        self._table = table
        self._made: dict[tuple[str, ...], PageStatements] = {}

    def of(
        self, workspace_id: UUID, criteria: DeliveryFilter | EventFilter
    ) -> tuple[PageStatements, Mapping[str, Any]]:
        """Return the statements for those that meet the criteria, and what these take."""
        fields = ((name, getattr(criteria, name, None)) for name in _CONDITIONS)
        asked = {name: value for name, value in fields if value is not None}
        names = tuple(asked)
        if names not in self._made:
            self._made[names] = self._make(names)
        return self._made[names], {"workspace_id": workspace_id, **asked}

    def _make(self, names: tuple[str, ...]) -> PageStatements:
        rows = f"FROM {self._table} WHERE " + " AND ".join(
            ["workspace_id = :workspace_id", *(_CONDITIONS[name] for name in names)]
        )
        return PageStatements(f"SELECT {self._columns} {rows}", counted=rows)
