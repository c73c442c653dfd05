"""One endpoint: its page, and what its buttons do."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.field_mask_pb2 import FieldMask

from noteflow_hooks.client import pb
from noteflow_hooks.dashboard.views.asking import forget_names
from noteflow_hooks.dashboard.views.figures import SPANS, since, span_of, stats_of, stats_request, undelivered
from noteflow_hooks.dashboard.visit import Page, Redirect
from noteflow_hooks.errors import InvalidInputError

if TYPE_CHECKING:
    from noteflow_hooks.dashboard.visit import Visit

#: Deliveries on an endpoint's page; the list has all.
_NEWEST: Final = 10
#: How long a test's page waits for the outcome; it shows what comes later by itself.
_TEST_WAIT_S: Final = 5.0
#: Replays that are looked through for those of the endpoint: at most ten of a workspace run.
_LOOKED_AT: Final = 20
_OVERLAPS: Final = {"86400": "24 hours", "3600": "1 hour", "604800": "7 days", "0": "not at all: it ends at once"}
_WHAT: Final = {"hmac": "secret", "ed25519": "key", "both": "both"}


def shown(visit: Visit) -> Page:
    """Return the endpoint's page."""
    ask = visit.client.webhooks.ListDeliveries.future
    newest = ask(pb.ListDeliveriesRequest(webhook_id=visit.id(), page_size=_NEWEST))
    span = span_of(visit.query)
    asked = stats_request(span, now=datetime.now(UTC), with_now=True, webhook_id=visit.id(), webhook_ids=[visit.id()])
    replays = visit.client.webhooks.ListReplays.future(pb.ListReplaysRequest(page_size=_LOOKED_AT))
    endpoint = _endpoint(visit)
    figures = stats_of(visit, asked)
    values = {
        "deliveries": newest.result().deliveries,
        "stats": figures,
        "own": figures.endpoints[0],
        "span": span,
        "spans": SPANS.values(),
        "begins": since(getattr(figures, "from")),
        "undelivered": undelivered(figures.now, webhook_id=visit.id()),
    }
    mine = [each for each in replays.result().replays if each.webhook_id == endpoint.id and each.state == "running"]
    return Page("endpoint.html", {"endpoint": endpoint, "replays": mine, **values})


def pause(visit: Visit) -> Redirect:
    """Let its deliveries wait."""
    return _set(visit, "paused", done="paused", paused=True)


def resume(visit: Visit) -> Redirect:
    """Let them go again."""
    return _set(visit, "paused", done="resumed", paused=False)


def enable(visit: Visit) -> Redirect:
    """Let it have events again."""
    return _set(visit, "enabled", done="enabled", enabled=True)


def disable(visit: Visit) -> Redirect:
    """Let it have no events."""
    return _set(visit, "enabled", done="disabled", enabled=False)


def test(visit: Visit) -> Redirect:
    """Send a test, and go on to its delivery, which shows the outcome."""
    request = pb.TestWebhookRequest(webhook_id=visit.id(), wait_seconds=_TEST_WAIT_S)
    answer = visit.client.webhooks.TestWebhook(request)
    if answer.HasField("delivery"):
        return Redirect(f"/deliveries/{answer.delivery.id}?done=tested")
    return Redirect(f"/events/{answer.event_id}?done=tested")


def verify(visit: Visit) -> Redirect:
    """Ask an endpoint that has not shown that it wants events, once more."""
    request = pb.VerifyWebhookRequest(webhook_id=visit.id(), wait_seconds=_TEST_WAIT_S)
    visit.client.webhooks.VerifyWebhook(request)
    return Redirect(f"/endpoints/{visit.id()}?done=asked")


def confirm_contact(visit: Visit) -> Redirect:
    """Take the code that was mailed to its contact."""
    code = visit.form.text("code")
    visit.client.webhooks.ConfirmContact(pb.ConfirmContactRequest(webhook_id=visit.id(), code=code))
    return Redirect(f"/endpoints/{visit.id()}?done=confirmed")


def ask_contact(visit: Visit) -> Redirect:
    """Have its contact asked again, where its code counts no more."""
    return _set(visit, "contact", done="contact_asked", contact=_endpoint(visit).contact)


def before_rotating(visit: Visit) -> Page:
    """Ask what is to be made anew, and for how long the former one signs on."""
    endpoint = _endpoint(visit)
    values = {"endpoint": endpoint, "request_id": secrets.token_hex(16), "overlaps": _OVERLAPS}
    return Page("rotate.html", {**values, "what": _WHAT.get(endpoint.signing, "secret")})


def rotate(visit: Visit) -> Page:
    """Make the secret, or the key, anew; show it this once. Sent twice, the form makes one."""
    overlap, what = visit.form.text("overlap_seconds"), visit.form.text("what")
    if overlap not in _OVERLAPS:
        raise InvalidInputError("overlap_seconds", f"is none of {', '.join(_OVERLAPS)}")
    request = pb.RotateWebhookSecretRequest(
        webhook_id=visit.id(), overlap_seconds=int(overlap), request_id=visit.form.text("request_id")
    )
    if what:
        request.what = what
    return Page("secret.html", {"endpoint": visit.client.webhooks.RotateWebhookSecret(request), "is_new": False})


def before_deleting(visit: Visit) -> Page:
    """Ask for the endpoint's name."""
    return Page("delete.html", {"endpoint": _endpoint(visit), "problem": ""})


def delete(visit: Visit) -> Page | Redirect:
    """Delete the endpoint whose name was typed, and no other."""
    endpoint = _endpoint(visit)
    if visit.form.text("name") != endpoint.name.strip():
        problem = "This is not the endpoint's name: nothing was deleted."
        return Page("delete.html", {"endpoint": endpoint, "problem": problem}, 422)
    visit.client.webhooks.DeleteWebhook(pb.DeleteWebhookRequest(webhook_id=visit.id()))
    forget_names(visit)
    return Redirect("/endpoints?done=deleted")


def _endpoint(visit: Visit) -> pb.Webhook:
    return visit.client.webhooks.GetWebhook(pb.GetWebhookRequest(webhook_id=visit.id()))


def _set(visit: Visit, field: str, *, done: str, **values: Any) -> Redirect:  # noqa: ANN401 - the field's own type
    request = pb.UpdateWebhookRequest(webhook_id=visit.id(), update_mask=FieldMask(paths=[field]), **values)
    visit.client.webhooks.UpdateWebhook(request)
    return Redirect(f"/endpoints/{visit.id()}?done={done}")
