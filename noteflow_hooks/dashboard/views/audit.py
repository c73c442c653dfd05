"""The audit trail: who changed what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.client import pb
from noteflow_hooks.dashboard.views.asking import ROWS, endpoint_names, filters, pager
from noteflow_hooks.dashboard.visit import Page

if TYPE_CHECKING:
    from noteflow_hooks.dashboard.visit import Visit

FILTERS: Final = ("actor_kind", "action", "target_kind", "target_id", "created_after", "created_before", "id_prefix")
_ACTORS: Final = ("token", "cli", "system")
_TARGETS: Final = ("webhook", "delivery", "replay", "meeting", "event_type", "workspace", "token", "keys")


def listed(visit: Visit) -> Page:
    """Return the list."""
    request = pb.ListAuditEntriesRequest(
        **filters(visit.asked, *FILTERS), page_size=ROWS, page_token=visit.asked.text("page_token"), with_total=True
    )
    found = visit.client.audit.ListAuditEntries(request)
    values: dict[str, Any] = {
        "entries": found.audit_entries,
        "total": found.total,
        "actors": _ACTORS,
        "targets": _TARGETS,
    }
    values["names"] = endpoint_names(visit)
    return Page("audit.html", {**values, **pager(visit, FILTERS, found.next_page_token)})
