"""The first page: how much there was and how it went, what is not delivered, and whether all that is needed is well."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from noteflow_hooks.client import pb
from noteflow_hooks.dashboard.views.figures import (
    SPANS,
    failures,
    now_of,
    since,
    span_of,
    stats_of,
    stats_request,
    undelivered,
)
from noteflow_hooks.dashboard.visit import Page

if TYPE_CHECKING:
    from noteflow_hooks.dashboard.visit import Visit

#: The states of endpoints that need care, and how many of each are named.
_CARE: Final = ("circuit_open", "failing", "recovering", "slow")
_NAMED: Final = 5


def shown(visit: Visit) -> Page:
    """Return the page."""
    span = span_of(visit.query)
    system = visit.client.webhooks.GetSystemState.future(pb.GetSystemStateRequest())
    now = now_of(visit)
    found = stats_of(visit, stats_request(span, now=datetime.now(UTC)))
    begins = since(getattr(found, "from"))
    values = {
        "span": span,
        "spans": SPANS.values(),
        "stats": found,
        "begins": begins,
        "system": system.result().parts,
        "undelivered": undelivered(now),
        "failures": failures(found.total, created_after=begins),
        "states": {state: now.endpoints.get(state, 0) for state in (*_CARE, "paused", "disabled", "healthy")},
        "care": _worst(visit, now),
    }
    return Page("overview.html", values)


def _worst(visit: Visit, now: pb.StatsNow) -> list[pb.Webhook]:
    """Return the first of those that need care: what is on hold has waited longest, and what fails may be soon.

    Nobody asks for a state that none is in: all endpoints would be gone through to find that.
    """
    requests = [pb.ListWebhooksRequest(state=each, page_size=_NAMED) for each in _CARE[:2] if now.endpoints.get(each)]
    calls = [visit.client.webhooks.ListWebhooks.future(each) for each in requests]
    return [each for call in calls for each in call.result().webhooks][:_NAMED]
