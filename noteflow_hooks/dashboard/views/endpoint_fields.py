"""The fields of an endpoint's form: from text to the API's values, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.client import pb
from noteflow_hooks.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from noteflow_hooks.dashboard.visit import Form


def whole(text: str, name: str) -> int | None:
    """Return a whole number; None for an empty text; raise InvalidInputError for another."""
    try:
        return int(text) if text else None
    except ValueError:
        raise InvalidInputError(name, f"{text!r} is no whole number") from None


def _number(text: str, name: str) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        raise InvalidInputError(name, f"{text!r} is no number") from None


def _text(text: str, _: str) -> str | None:
    # PEM and CEL go on as they were written, but for the line ends of forms.
    return text.replace("\r\n", "\n") or None


def _flag(text: str, _: str) -> bool:
    return bool(text)


def _headers(text: str, name: str) -> list[pb.Header] | None:
    found = []
    for line in (line.strip() for line in text.splitlines() if line.strip()):
        header, colon, value = line.partition(":")
        if not colon:
            raise InvalidInputError(name, "each line must be NAME: VALUE")
        found.append(pb.Header(name=header.strip(), value=value.strip()))
    return found or None


#: Each field, and how its text is read. Absent is None, which a registration leaves to the server.
FIELDS: Final[dict[str, Callable[[str, str], Any]]] = {
    "name": _text,
    "url": _text,
    "events": _text,
    "timeout_ms": whole,
    "max_retries": whole,
    "rate_limit_per_s": _number,
    "max_concurrency": whole,
    "headers": _headers,
    "signing": _text,
    "payload_version": whole,
    "client_certificate": _text,
    "client_key": _text,
    "server_ca": _text,
    "filter": _text,
    "format": _text,
    "batch_max": whole,
    "batch_wait_ms": whole,
    "batch_partial": _flag,
    "ordering": _text,
    "on_dead": _text,
    "contact": _text,
    "digest": _text,
    "send_traceparent": _flag,
}
#: Which of the PEM files may be taken away, by a box of that name.
_REMOVABLE: Final = ("client_certificate", "server_ca")


def blank_values() -> dict[str, Any]:
    """Return what the form of a new endpoint shows: the defaults."""
    chosen = {
        "events": [],
        "signing": "hmac",
        "format": "noteflow",
        "ordering": "none",
        "on_dead": "skip",
        "digest": "none",
    }
    numbers = {"batch_max": 0, "batch_wait_ms": 0, "batch_partial": False, "send_traceparent": False}
    return {**dict.fromkeys(FIELDS), **chosen, **numbers}


def read_values(form: Form) -> dict[str, Any]:
    """Return the form's values; raise InvalidInputError with all that can't be read."""
    values, errors = {}, []
    for name, read in FIELDS.items():
        try:
            values[name] = read(form.text(name), name)
        except InvalidInputError as error:
            errors.append(error)
    if errors:
        raise InvalidInputError.of_all(errors)
    values["events"] = sorted(set(form.several("events")))
    for name in ("batch_max", "batch_wait_ms"):
        values[name] = values[name] or 0
    for name in _REMOVABLE:
        if form.says(f"remove_{name}"):
            values[name] = ""
    return values


def values_of(endpoint: pb.Webhook) -> dict[str, Any]:
    """Return an endpoint's values as the form has them; what is secret is absent, and stays unless it is filled in."""
    secret = dict.fromkeys(("headers", "client_certificate", "client_key", "server_ca"))
    limits = {
        name: getattr(endpoint, name) if endpoint.HasField(name) else None
        for name in ("rate_limit_per_s", "max_concurrency")
    }
    plain = {name: getattr(endpoint, name) for name in FIELDS if name not in {*secret, *limits, "events"}}
    texts = {"filter": endpoint.filter or None, "contact": endpoint.contact or None}
    return {**plain, **secret, **limits, **texts, "events": sorted(endpoint.events)}
