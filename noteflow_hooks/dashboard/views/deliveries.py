"""Deliveries: the list with its filters, one's life, and sending again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.responses import Response

from noteflow_hooks.client import pb
from noteflow_hooks.client.curl import endpoint_of, script
from noteflow_hooks.client.diagnosis import diagnose
from noteflow_hooks.dashboard.life import life_of
from noteflow_hooks.dashboard.pages import shown as as_text
from noteflow_hooks.dashboard.views.asking import ROWS, endpoint_names, pager
from noteflow_hooks.dashboard.views.narrowing import by_id, choices, chosen, replayable, request_fields
from noteflow_hooks.dashboard.visit import Page, Redirect, address
from noteflow_hooks.errors import (
    InvalidInputError,
    NoteFlowHooksError,
    ScopeError,
    UnauthenticatedError,
)

if TYPE_CHECKING:
    from noteflow_hooks.dashboard.visit import Visit

#: So many are sent again at once; more is a replay.
_MOST_SELECTED: Final = 100


def listed(visit: Visit) -> Page | Redirect:
    """Return the list; of what the box for any id names, its address."""
    named = by_id(visit)
    if named is not None:
        return Redirect(address("/deliveries", **named))
    rows = _MOST_SELECTED if visit.query.text("rows") == str(_MOST_SELECTED) else ROWS
    request = pb.ListDeliveriesRequest(
        **request_fields(visit.asked), page_size=rows, page_token=visit.asked.text("page_token"), with_total=True
    )
    found = visit.client.webhooks.ListDeliveries(request)
    kept = chosen(visit.query)
    again = replayable(kept)
    values = {
        "deliveries": found.deliveries,
        "total": found.total,
        "names": endpoint_names(visit),
        "replay": address("/replays/new", **again) if again is not None else "",
        "wider": address("/deliveries", **kept, rows=str(_MOST_SELECTED)) if rows == ROWS else "",
        **choices(visit),
    }
    shown = {"rows": str(rows)} if rows != ROWS else {}
    return Page("deliveries.html", {**values, **pager(visit, (), found.next_page_token, chosen=kept, shown=shown)})


def shown(visit: Visit) -> Page:
    """Return one delivery with its whole life."""
    delivery = _delivery(visit)
    event = visit.client.events.GetEvent(pb.GetEventRequest(event_id=delivery.event_id, page_size=1)).event
    endpoint = endpoint_of(visit.client, delivery)
    found = diagnose(delivery, endpoint, is_erased=event.HasField("payload_erased_at"))
    values = {"delivery": delivery, "event": event, "endpoint": endpoint, "diagnosis": found}
    return Page("delivery.html", {**values, "life": life_of(delivery, event)})


def resend(visit: Visit) -> Redirect:
    """Send it again."""
    visit.client.webhooks.RedeliverDelivery(pb.RedeliverDeliveryRequest(delivery_id=visit.id()))
    return Redirect(f"/deliveries/{visit.id()}?done=resent")


def skip(visit: Visit) -> Redirect:
    """Send no more of it: what waits behind it, goes."""
    visit.client.webhooks.SkipDelivery(pb.SkipDeliveryRequest(delivery_id=visit.id()))
    return Redirect(f"/deliveries/{visit.id()}?done=skipped")


def resend_selected(visit: Visit) -> Page:
    """Send those again that were selected, and tell of each that was refused."""
    ids = list(dict.fromkeys(visit.form.several("delivery_id")))
    if not 0 < len(ids) <= _MOST_SELECTED:
        raise InvalidInputError("delivery_id", f"select 1 to {_MOST_SELECTED} deliveries; a replay takes any number")
    calls = [
        (each, visit.client.webhooks.RedeliverDelivery.future(pb.RedeliverDeliveryRequest(delivery_id=each)))
        for each in ids
    ]
    outcomes: list[tuple[str, str]] = []
    for each, call in calls:
        try:
            call.result()
        except (ScopeError, UnauthenticatedError):
            raise
        except NoteFlowHooksError as error:
            outcomes.append((each, str(error)))
        else:
            outcomes.append((each, ""))
    return Page("resent.html", {"outcomes": outcomes, "sent": sum(1 for _, problem in outcomes if not problem)})


def as_json(visit: Visit) -> Response:
    """Return the delivery as JSON, by itself."""
    return Response(as_text(_delivery(visit)) + "\n", media_type="application/json")


def as_curl(visit: Visit) -> Response:
    """Return what sends the same request from a shell."""
    text = script(visit.client, visit.id(), may_preview=visit.session.may_manage)
    return Response(text, media_type="text/plain; charset=utf-8")


def _delivery(visit: Visit) -> pb.Delivery:
    return visit.client.webhooks.GetDelivery(pb.GetDeliveryRequest(delivery_id=visit.id()))
