"""What was accepted and has not arrived, each with its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from noteflow_hooks.client import pb
from noteflow_hooks.dashboard.views.asking import ROWS, endpoint_names, filters, pager, type_names
from noteflow_hooks.dashboard.views.figures import stats_of, undelivered
from noteflow_hooks.dashboard.visit import Page

if TYPE_CHECKING:
    from noteflow_hooks.dashboard.visit import Visit

FILTERS: Final = ("webhook_id", "event_type", "id_prefix")


def listed(visit: Visit) -> Page:
    """Return the list."""
    request = pb.ListUndeliveredRequest(
        **filters(visit.query, *FILTERS), page_size=ROWS, page_token=visit.query.text("page_token"), with_total=True
    )
    only = filters(visit.query, "webhook_id")
    stats = stats_of(visit, pb.GetStatsRequest(with_now=True, **only))
    found = visit.client.webhooks.ListUndelivered(request)
    values = {
        "undelivered": found.undelivered,
        "total": found.total,
        "reasons": undelivered(stats.now, **only),
        "names": endpoint_names(visit),
        "types": type_names(visit),
    }
    return Page("undelivered.html", {**values, **pager(visit, FILTERS, found.next_page_token)})
