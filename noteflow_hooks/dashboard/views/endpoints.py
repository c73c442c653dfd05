"""The list of endpoints: how each does, when it last took something, and what waits for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noteflow_hooks.client import pb
from noteflow_hooks.dashboard.views.asking import ROWS, pager
from noteflow_hooks.dashboard.visit import Page

if TYPE_CHECKING:
    from noteflow_hooks.dashboard.visit import Visit


def listed(visit: Visit) -> Page:
    """Return the page of endpoints."""
    page_token = visit.query.text("page_token")
    request = pb.ListWebhooksRequest(page_size=ROWS, page_token=page_token, with_total=True)
    found = visit.client.webhooks.ListWebhooks(request)
    ids = [each.id for each in found.webhooks]
    # One that is deleted in between has nothing.
    counted = {each: pb.EndpointStats() for each in ids}
    if ids:
        known = visit.client.webhooks.GetStats(pb.GetStatsRequest(webhook_ids=ids)).endpoints
        counted.update({each.webhook_id: each for each in known})
    values = {"endpoints": found.webhooks, "counts": counted, "total": found.total}
    return Page("endpoints.html", {**values, **pager(visit, (), found.next_page_token)})
