"""What was accepted and has not arrived, each with its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from noteflow_hooks.client import pb
from noteflow_hooks.dashboard.views.asking import ROWS, endpoint_names, filters, pager, type_names
from noteflow_hooks.dashboard.views.figures import now_of, undelivered
from noteflow_hooks.dashboard.visit import Page

if TYPE_CHECKING:
    from noteflow_hooks.dashboard.visit import Visit

FILTERS: Final = ("webhook_id", "event_type", "id_prefix")


def listed(visit: Visit) -> Page:
    """Return the list."""
    request = pb.ListUndeliveredRequest(
        **filters(visit.asked, *FILTERS), page_size=ROWS, page_token=visit.asked.text("page_token"), with_total=True
    )
    only = filters(visit.asked, "webhook_id")
    now = now_of(visit, **only)
    found = visit.client.webhooks.ListUndelivered(request)
    values = {
        "undelivered": found.undelivered,
        "total": found.total,
        "reasons": undelivered(now, **only),
        "names": endpoint_names(visit),
        "types": type_names(visit),
    }
    return Page("undelivered.html", {**values, **pager(visit, FILTERS, found.next_page_token)})
