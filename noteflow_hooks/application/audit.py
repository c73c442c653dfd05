"""What a caller may see of the audit trail: the entries of its own workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from noteflow_hooks.domain.audit.entries import AuditEntry, AuditFilter
    from noteflow_hooks.domain.paging import Page
    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork


def list_entries(
    unit: UnitOfWork, workspace_id: UUID, criteria: AuditFilter, page: Page
) -> tuple[Sequence[AuditEntry], int]:
    """Return a page of the workspace's entries, newest first, and how many there are where the page asks."""
    rows = unit.audit.list_page(workspace_id, criteria, limit=page.limit, after=page.after, ids=page.ids)
    return rows, unit.audit.count(workspace_id, criteria, ids=page.ids) if page.counts else 0
