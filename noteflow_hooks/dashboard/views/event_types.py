"""The catalogue of event types, each with its schema and an example."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noteflow_hooks.client import pb
from noteflow_hooks.dashboard.views.endpoint_fields import FIELDS
from noteflow_hooks.dashboard.visit import Page

if TYPE_CHECKING:
    from noteflow_hooks.dashboard.visit import Visit


def listed(visit: Visit) -> Page:
    """Return the catalogue."""
    found = visit.client.events.ListEventTypes(pb.ListEventTypesRequest())
    return Page("event_types.html", {"types": found.event_types})


def shown(visit: Visit) -> Page:
    """Return one type, in one version of its payload."""
    version = FIELDS["payload_version"](visit.query.text("version"), "version")
    found = visit.client.events.GetEventType(pb.GetEventTypeRequest(name=visit.id("name"), payload_version=version))
    return Page("event_type.html", {"type": found})
