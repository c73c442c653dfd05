"""Which page stands at which address. What changes something is a POST, and nothing else is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from noteflow_hooks.dashboard.views import (
    audit,
    deliveries,
    endpoint,
    endpoint_forms,
    endpoints,
    event_types,
    events,
    filter_page,
    finding,
    live,
    overview,
    replays,
    undelivered,
)
from noteflow_hooks.dashboard.visit import for_managers, with_refusals

if TYPE_CHECKING:
    from noteflow_hooks.dashboard.visit import View

ROUTES: Final[tuple[tuple[str, str, View], ...]] = (
    ("/overview", "GET", overview.shown),
    ("/endpoints", "GET", with_refusals(endpoints.listed)),
    ("/endpoints/new", "GET", for_managers(endpoint_forms.blank)),
    ("/endpoints/new", "POST", endpoint_forms.add),
    ("/endpoints/{id}", "GET", endpoint.shown),
    ("/endpoints/{id}/edit", "GET", for_managers(endpoint_forms.filled)),
    ("/endpoints/{id}/edit", "POST", endpoint_forms.change),
    ("/endpoints/{id}/filter", "GET", filter_page.shown),
    ("/endpoints/{id}/filter", "POST", filter_page.use),
    ("/endpoints/{id}/pause", "POST", endpoint.pause),
    ("/endpoints/{id}/resume", "POST", endpoint.resume),
    ("/endpoints/{id}/enable", "POST", endpoint.enable),
    ("/endpoints/{id}/disable", "POST", endpoint.disable),
    ("/endpoints/{id}/test", "POST", endpoint.test),
    ("/endpoints/{id}/verify", "POST", endpoint.verify),
    ("/endpoints/{id}/contact", "POST", endpoint.confirm_contact),
    ("/endpoints/{id}/contact/ask", "POST", endpoint.ask_contact),
    ("/endpoints/{id}/rotate", "GET", for_managers(endpoint.before_rotating)),
    ("/endpoints/{id}/rotate", "POST", endpoint.rotate),
    ("/endpoints/{id}/delete", "GET", for_managers(endpoint.before_deleting)),
    ("/endpoints/{id}/delete", "POST", endpoint.delete),
    ("/deliveries", "GET", with_refusals(deliveries.listed)),
    ("/deliveries/resend", "POST", deliveries.resend_selected),
    ("/deliveries/{id}", "GET", deliveries.shown),
    ("/deliveries/{id}/resend", "POST", deliveries.resend),
    ("/deliveries/{id}/skip", "POST", deliveries.skip),
    ("/deliveries/{id}/json", "GET", deliveries.as_json),
    ("/deliveries/{id}/curl", "GET", deliveries.as_curl),
    ("/live", "GET", with_refusals(live.shown)),
    ("/live/stream", "GET", live.streamed),
    ("/undelivered", "GET", with_refusals(undelivered.listed)),
    ("/events", "GET", with_refusals(events.listed)),
    ("/events/{id}", "GET", events.shown),
    ("/replays", "GET", replays.listed),
    ("/replays/new", "GET", for_managers(replays.blank)),
    ("/replays/new", "POST", replays.begin),
    ("/replays/{id}", "GET", replays.shown),
    ("/replays/{id}/cancel", "POST", replays.cancel),
    ("/event-types", "GET", event_types.listed),
    ("/event-types/{name}", "GET", event_types.shown),
    ("/audit", "GET", for_managers(with_refusals(audit.listed))),
    ("/find", "GET", finding.found),
    ("/keys", "GET", finding.keys),
)
