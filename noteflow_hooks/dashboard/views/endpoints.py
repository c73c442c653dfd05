"""The list of endpoints: how each does, its last day, when it last took something, and what waits for it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from noteflow_hooks.client import pb
from noteflow_hooks.dashboard.drawing import columns
from noteflow_hooks.dashboard.views.asking import ROWS, filters, pager
from noteflow_hooks.dashboard.views.figures import day_request, days_of
from noteflow_hooks.dashboard.visit import Page

if TYPE_CHECKING:
    from noteflow_hooks.dashboard.visit import Visit

#: The list's filters, as its address has them.
FILTERS: Final = ("state", "text")


def listed(visit: Visit) -> Page:
    """Return the page of endpoints."""
    page_token = visit.asked.text("page_token")
    request = pb.ListWebhooksRequest(
        **filters(visit.asked, *FILTERS), page_size=ROWS, page_token=page_token, with_total=True
    )
    found = visit.client.webhooks.ListWebhooks(request)
    ids = [each.id for each in found.webhooks]
    days = days_of(visit, day_request(ids, now=datetime.now(UTC)))
    values = {
        "endpoints": found.webhooks,
        "days": days,
        "hours": {each: columns(own.buckets) for each, own in days.items()},
        "total": found.total,
    }
    return Page("endpoints.html", {**values, **pager(visit, FILTERS, found.next_page_token)})
