"""The forms that register and change an endpoint. What was changed is sent, and a refusal stands by its field."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.field_mask_pb2 import FieldMask

from noteflow_hooks.client import pb
from noteflow_hooks.dashboard.views.asking import forget_names, type_names
from noteflow_hooks.dashboard.views.endpoint_fields import FIELDS, blank_values, read_values, values_of
from noteflow_hooks.dashboard.visit import Page, Redirect
from noteflow_hooks.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from noteflow_hooks.dashboard.visit import Visit

#: What goes to its target alone, whatever that subscribes to: nobody can subscribe to it.
_TARGETED: Final = ("webhook.test", "webhook.verification")
#: The formats of endpoints that nothing signs: with a secret they are refused.
_CHATS: Final = ("slack", "discord", "teams")


def blank(visit: Visit) -> Page:
    """Return the form of a new endpoint."""
    return _form(visit, blank_values(), request_id=secrets.token_hex(16))


def add(visit: Visit) -> Page:
    """Register the endpoint and show its secret this once. Sent twice, the form registers one."""
    request_id = visit.form.text("request_id")
    try:
        values = read_values(visit.form)
        sent = {name: value for name, value in values.items() if value != blank_values()[name]}
        request = pb.RegisterWebhookRequest(**sent, request_id=request_id)
        request.generate_secret = values["signing"] in ("hmac", "both") and values["format"] not in _CHATS
        endpoint = visit.client.webhooks.RegisterWebhook(request)
        forget_names(visit)
    except InvalidInputError as error:
        return _form(visit, _as_typed(visit), request_id=request_id, problems=dict(error.violations))
    return Page("secret.html", {"endpoint": endpoint, "is_new": True})


def filled(visit: Visit) -> Page:
    """Return the form of an endpoint as it is."""
    endpoint = _endpoint(visit)
    return _form(visit, values_of(endpoint), endpoint=endpoint)


def change(visit: Visit) -> Page | Redirect:
    """Change what is another value than the endpoint has."""
    endpoint = _endpoint(visit)
    try:
        before, after = values_of(endpoint), read_values(visit.form)
        changed = [name for name in after if after[name] != before[name]]
        if not visit.form.says("replace_headers"):
            changed = [name for name in changed if name != "headers"]
        elif "headers" not in changed:
            changed.append("headers")
        if changed:
            _send(visit, changed, after)
    except InvalidInputError as error:
        return _form(visit, _as_typed(visit), endpoint=endpoint, problems=dict(error.violations))
    return Redirect(f"/endpoints/{visit.id()}?done=changed")


def _send(visit: Visit, changed: list[str], values: Mapping[str, Any]) -> None:
    sent = {name: values[name] for name in changed if values[name] is not None}
    mask = FieldMask(paths=changed)
    visit.client.webhooks.UpdateWebhook(pb.UpdateWebhookRequest(webhook_id=visit.id(), update_mask=mask, **sent))
    forget_names(visit)


def _endpoint(visit: Visit) -> pb.Webhook:
    return visit.client.webhooks.GetWebhook(pb.GetWebhookRequest(webhook_id=visit.id()))


def _as_typed(visit: Visit) -> dict[str, Any]:
    """Return the fields as somebody has filled them in, right or wrong."""
    typed: dict[str, Any] = {name: visit.form.text(name) for name in FIELDS}
    return {**typed, "events": list(visit.form.several("events"))}


def _form(
    visit: Visit,
    values: Mapping[str, Any],
    *,
    endpoint: pb.Webhook | None = None,
    request_id: str = "",
    problems: Mapping[str, str] | None = None,
) -> Page:
    found = problems or {}
    types = [each for each in type_names(visit) if each not in _TARGETED]
    others = [each for each in values["events"] if each not in types]
    # What is wrong with a part of a field, `headers[0].name`, is said at the field.
    by_field = {name.partition("[")[0].partition(".")[0]: problem for name, problem in found.items()}
    shown = {name: problem for name, problem in by_field.items() if name in FIELDS}
    elsewhere = [f"{name}: {problem}" for name, problem in found.items() if name.partition("[")[0] not in FIELDS]
    context = {"endpoint": endpoint, "values": values, "types": [*types, *others], "request_id": request_id}
    return Page("endpoint_form.html", {**context, "problems": shown, "elsewhere": elsewhere}, 422 if found else 200)
