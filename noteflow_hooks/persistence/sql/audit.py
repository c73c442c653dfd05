"""The audit trail in PostgreSQL."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override

from noteflow_hooks.domain.audit.entries import ALL_ENTRIES, AuditEntry
from noteflow_hooks.domain.ports.audit import AuditTrail
from noteflow_hooks.persistence.sql.audit_statements import ADD, WRITTEN, params_of
from noteflow_hooks.persistence.sql.paging import PageStatements
from noteflow_hooks.persistence.sql.wire import Statement

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from noteflow_hooks.domain.audit.entries import AuditFilter
    from noteflow_hooks.domain.paging import IdRange, Position
    from noteflow_hooks.persistence.sql.work import Work

_ADD: Final = Statement(ADD)
_COLUMNS: Final = ("at", *WRITTEN)
# rule of domain.audit.entries.is_listed
_CONDITIONS: Final = {
    "actor_kind": "actor_kind = :actor_kind",
    "actor": "actor = :actor",
    "action": "action = :action",
    "target_kind": "target_kind = :target_kind",
    "target_id": "target_id = :target_id",
    "created_after": "at >= CAST(:created_after AS timestamptz)",
    "created_before": "at < CAST(:created_before AS timestamptz)",
}


class SqlAlchemyAuditTrail(AuditTrail):
    """The audit trail in PostgreSQL."""

    def __init__(self, work: Work) -> None:
        """Do it in that work."""
        self._work = work

    @override
    def add(self, entry: AuditEntry) -> None:
        self._work.ask(_ADD, **params_of(entry))

    @override
    def list_page(
        self,
        workspace_id: UUID,
        criteria: AuditFilter = ALL_ENTRIES,
        *,
        limit: int,
        after: Position | None = None,
        ids: IdRange | None = None,
    ) -> Sequence[AuditEntry]:
        wanted = _wanted(criteria)
        statement, params = _pages(tuple(wanted)).page(
            after=after, limit=limit, ids=ids, workspace_id=workspace_id, **wanted
        )
        rows = self._work.ask(statement, **params).all()
        return [AuditEntry(**dict(zip(_COLUMNS, row, strict=True))) for row in rows]

    @override
    def count(self, workspace_id: UUID, criteria: AuditFilter = ALL_ENTRIES, *, ids: IdRange | None = None) -> int:
        wanted = _wanted(criteria)
        statement, params = _pages(tuple(wanted)).total(ids=ids, workspace_id=workspace_id, **wanted)
        total: int = self._work.ask(statement, **params).first().total
        return total


def _wanted(criteria: AuditFilter) -> dict[str, Any]:
    """Return what is filtered by, in the order of the conditions."""
    asked = {name: getattr(criteria, name) for name in _CONDITIONS}
    return {name: value for name, value in asked.items() if value is not None}


@cache
def _pages(names: tuple[str, ...]) -> PageStatements:
    """Return the statements of a list with these filters: each is planned for what it asks."""
    where = " AND ".join(["workspace_id = :workspace_id", *(_CONDITIONS[name] for name in names)])
    return PageStatements(
        f"SELECT {', '.join(_COLUMNS)} FROM noteflow.audit_log WHERE {where}",  # noqa: S608 - constants
        counted=f"FROM noteflow.audit_log WHERE {where}",
        moment="at",
    )
