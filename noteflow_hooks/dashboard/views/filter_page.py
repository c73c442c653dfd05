"""An endpoint's filter: tried on past events first, and set to what was tried."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from google.protobuf.field_mask_pb2 import FieldMask

from noteflow_hooks.client import pb
from noteflow_hooks.dashboard.views.endpoint_fields import whole
from noteflow_hooks.dashboard.visit import Page, Redirect
from noteflow_hooks.errors import InvalidInputError, PreconditionError

if TYPE_CHECKING:
    from noteflow_hooks.dashboard.visit import Form, Visit

#: So many events, where no number is given.
_EVENTS: Final = 20


def shown(visit: Visit) -> Page:
    """Return the form, and what the filter of the address would have done."""
    endpoint = _endpoint(visit)
    if "filter" not in visit.query.fields:
        return _page(endpoint, {"filter": endpoint.filter, "last_n": str(_EVENTS)})
    asked = {"filter": _text(visit.query), "last_n": visit.query.text("last_n")}
    try:
        preview = _preview(visit, asked)
    except (InvalidInputError, PreconditionError) as error:
        return _page(endpoint, asked, problem=str(error))
    return _page(endpoint, asked, preview=preview)


def use(visit: Visit) -> Redirect:
    """Set the filter; an empty one is none."""
    request = pb.UpdateWebhookRequest(webhook_id=visit.id(), update_mask=FieldMask(paths=["filter"]))
    request.filter = _text(visit.form)
    visit.client.webhooks.UpdateWebhook(request)
    return Redirect(f"/endpoints/{visit.id()}?done=filtered")


def _preview(visit: Visit, asked: dict[str, str]) -> pb.PreviewFilterResponse:
    # No filter lets all pass, which an expression says too.
    request = pb.PreviewFilterRequest(filter=asked["filter"] or "true", webhook_id=visit.id())
    request.last_n = whole(asked["last_n"], "last_n") or _EVENTS
    return visit.client.webhooks.PreviewFilter(request)


def _page(
    endpoint: pb.Webhook, chosen: dict[str, str], *, problem: str = "", preview: pb.PreviewFilterResponse | None = None
) -> Page:
    values: dict[str, Any] = {"endpoint": endpoint, "chosen": chosen, "problem": problem, "preview": preview}
    return Page("filter.html", values, 422 if problem else 200)


def _text(form: Form) -> str:
    return form.text("filter").replace("\r\n", "\n")


def _endpoint(visit: Visit) -> pb.Webhook:
    return visit.client.webhooks.GetWebhook(pb.GetWebhookRequest(webhook_id=visit.id()))
