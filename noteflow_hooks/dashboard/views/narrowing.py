"""The filters of deliveries, as addresses and forms have them: several states at once, and one box for any id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.dashboard.views.asking import filters, kept, type_names
from noteflow_hooks.dashboard.views.endpoint_fields import whole
from noteflow_hooks.dashboard.views.finding import narrowed
from noteflow_hooks.errors import InvalidInputError

if TYPE_CHECKING:
    from noteflow_hooks.dashboard.visit import Form, Visit

#: Those that name a thing by its id: each is shown by itself, and can be taken away by itself.
IDS: Final = ("event_id", "meeting_id", "id_prefix")
_OTHERS: Final = ("webhook_id", "event_type", "error_kind", "skip_reason", "created_after", "created_before")
#: All that stand in an address once; ``status`` may stand there several times.
ONCE: Final = (*_OTHERS, *IDS, "status_code", "held")
#: Whether it is held back, as an address has it and as it is said.
THROTTLED: Final = {"true": "Only what is held back", "false": "Only what is not"}
STATUSES: Final = ("pending", "sending", "succeeded", "dead", "skipped")


def request_fields(form: Form) -> dict[str, Any]:
    """Return the filters as requests take them; raise InvalidInputError for what can't be read."""
    found = filters(form, *_OTHERS, *IDS)
    code = whole(form.text("status_code"), "status_code")
    if form.text("held"):
        found["held"] = _is_throttled(form.text("held"))
    return {**found, "statuses": states(form), **({"status_code": code} if code is not None else {})}


def _is_throttled(text: str) -> bool:
    if text not in THROTTLED:
        raise InvalidInputError("held", f"{text!r} is not allowed here; allowed: {', '.join(THROTTLED)}")
    return text == "true"


def states(form: Form) -> list[str]:
    """Return the states that are asked for, each once; none stands for all."""
    return list(dict.fromkeys(each for each in form.several("status") if each))


def chosen(form: Form) -> dict[str, Any]:
    """Return the filters as the page shows them again, and as :func:`address` takes them."""
    return {**kept(form, *ONCE), "status": tuple(states(form))}


def replayable(named: dict[str, Any]) -> dict[str, Any] | None:
    """Return the filters of a replay of what these name; None where that has not ended, and can't be sent again."""
    if named["held"]:
        return None
    wanted = tuple(each for each in named["status"] if each in ("dead", "skipped", "succeeded"))
    return None if named["status"] and not wanted else {**named, "status": wanted}


def by_id(visit: Visit) -> dict[str, Any] | None:
    """Return the filters with what the box for any id names; None where nothing stands in it."""
    asked = visit.asked.text("q")
    return {**chosen(visit.query), **narrowed(visit, asked)} if asked else None


def choices(visit: Visit) -> dict[str, Any]:
    """Return what the filters' form offers, beside the endpoints."""
    return {"types": type_names(visit), "statuses": STATUSES, "held": THROTTLED}
