"""The first page: how much there was and how it went, what is not delivered, and whether all that is needed is well."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from noteflow_hooks.client import pb
from noteflow_hooks.dashboard.views.figures import SPANS, failures, since, span_of, stats_of, stats_request, undelivered
from noteflow_hooks.dashboard.visit import Page

if TYPE_CHECKING:
    from noteflow_hooks.dashboard.visit import Visit

#: The states of endpoints that need care, and how many of each are named.
_CARE: Final = ("circuit_open", "failing", "recovering", "slow")
_NAMED: Final = 5


def shown(visit: Visit) -> Page:
    """Return the page."""
    span, webhooks = span_of(visit.query), visit.client.webhooks
    system = webhooks.GetSystemState.future(pb.GetSystemStateRequest())
    # What is on hold has waited longest, and what fails may be soon.
    worst = [webhooks.ListWebhooks.future(pb.ListWebhooksRequest(state=state, page_size=_NAMED)) for state in _CARE[:2]]
    found = stats_of(visit, stats_request(span, now=datetime.now(UTC), with_now=True))
    begins = since(getattr(found, "from"))
    values = {
        "span": span,
        "spans": SPANS.values(),
        "stats": found,
        "begins": begins,
        "system": system.result().parts,
        "undelivered": undelivered(found.now),
        "failures": failures(found.total, created_after=begins),
        "states": {state: found.now.endpoints[state] for state in (*_CARE, "paused", "disabled", "healthy")},
        "care": [each for call in worst for each in call.result().webhooks][:_NAMED],
    }
    return Page("overview.html", values)
