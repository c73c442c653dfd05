"""Events: the list, and one with who got it and who did not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from noteflow_hooks.client import pb
from noteflow_hooks.dashboard.views.asking import ROWS, endpoint_names, filters, pager, type_names
from noteflow_hooks.dashboard.visit import Page, address

if TYPE_CHECKING:
    from noteflow_hooks.dashboard.visit import Visit

FILTERS: Final = ("event_type", "meeting_id", "created_after", "created_before", "id_prefix")


def listed(visit: Visit) -> Page:
    """Return the list."""
    request = pb.ListEventsRequest(
        **filters(visit.asked, *FILTERS), page_size=ROWS, page_token=visit.asked.text("page_token"), with_total=True
    )
    found = visit.client.events.ListEvents(request)
    values = {"events": found.events, "total": found.total, "types": type_names(visit)}
    return Page("events.html", {**values, **pager(visit, FILTERS, found.next_page_token)})


def shown(visit: Visit) -> Page:
    """Return one event."""
    page_token = visit.query.text("page_token")
    found = visit.client.events.GetEvent(pb.GetEventRequest(event_id=visit.id(), page_token=page_token))
    values = {
        "event": found.event,
        "deliveries": found.deliveries,
        "without": found.without_delivery,
        "names": endpoint_names(visit),
        "more": address(visit.path, page_token=found.next_page_token) if found.next_page_token else "",
        "is_first": not page_token,
    }
    return Page("event.html", values)
