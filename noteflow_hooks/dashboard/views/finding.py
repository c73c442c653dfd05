"""One box for any id, or the beginning of one: what has it is gone to, and several are listed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from noteflow_hooks.client import pb
from noteflow_hooks.dashboard.visit import Page, Redirect, address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from noteflow_hooks.dashboard.visit import Visit

#: Of each kind so many are listed.
_MOST: Final = 10
_BEGINNING: Final = re.compile(r"[0-9a-f-]{1,36}")
#: What names deliveries, in the order in which an id is taken for one.
_FILTERS: Final = {"delivery": "id_prefix", "event": "event_id", "endpoint": "webhook_id", "meeting": "meeting_id"}
#: The longest name of a meeting that another server keeps.
_LONGEST: Final = 255


@dataclass(frozen=True, slots=True)
class Hit:
    """Something whose id begins so."""

    kind: str
    id: str
    name: str
    to: str


def found(visit: Visit) -> Page | Redirect:
    """Go to the only thing that has it, or list them."""
    asked = visit.query.text("q")
    hits = list(_hits(visit, asked)) if asked else []
    if len(hits) == 1:
        return Redirect(hits[0].to)
    return Page("found.html", {"asked": asked, "hits": hits})


def narrowed(visit: Visit, asked: str) -> dict[str, str]:
    """Return the filter of deliveries that an id is, or its beginning: of a delivery, event, endpoint or meeting."""
    found = {hit.kind: hit.id for hit in reversed(list(_hits(visit, asked)))}
    for kind, name in _FILTERS.items():
        if kind in found:
            return {name: found[kind] if name != "id_prefix" else asked.lower()}
    return {"id_prefix": asked.lower()} if _BEGINNING.fullmatch(asked.lower()) else {"meeting_id": asked}


def keys(_: Visit) -> Page:
    """Return the list of keys."""
    return Page("keys.html")


def _hits(visit: Visit, asked: str) -> Iterator[Hit]:
    beginning = asked.lower()
    if _BEGINNING.fullmatch(beginning):
        for call in [each(visit, beginning) for each in (_deliveries, _events, _endpoints, _meetings, _replays)]:
            yield from call()
    # Another server's meetings have whatever ids it gives them.
    if len(asked) <= _LONGEST:
        events = visit.client.events.ListEvents(pb.ListEventsRequest(meeting_id=asked, page_size=1)).events
        if events and not _is_ours(visit, asked):
            yield Hit("meeting", asked, "its events", address("/events", meeting_id=asked))


def _deliveries(visit: Visit, beginning: str) -> Callable[[], Iterator[Hit]]:
    request = pb.ListDeliveriesRequest(id_prefix=beginning, page_size=_MOST)
    call = visit.client.webhooks.ListDeliveries.future(request)
    return lambda: (
        Hit("delivery", each.id, each.event_type, f"/deliveries/{each.id}") for each in call.result().deliveries
    )


def _events(visit: Visit, beginning: str) -> Callable[[], Iterator[Hit]]:
    call = visit.client.events.ListEvents.future(pb.ListEventsRequest(id_prefix=beginning, page_size=_MOST))
    return lambda: (Hit("event", each.id, each.event_type, f"/events/{each.id}") for each in call.result().events)


def _endpoints(visit: Visit, beginning: str) -> Callable[[], Iterator[Hit]]:
    call = visit.client.webhooks.ListWebhooks.future(pb.ListWebhooksRequest(id_prefix=beginning, page_size=_MOST))
    return lambda: (Hit("endpoint", each.id, each.name, f"/endpoints/{each.id}") for each in call.result().webhooks)


def _meetings(visit: Visit, beginning: str) -> Callable[[], Iterator[Hit]]:
    call = visit.client.meetings.ListMeetings.future(pb.ListMeetingsRequest(id_prefix=beginning, page_size=_MOST))
    return lambda: (
        Hit("meeting", each.id, each.title or "Untitled", address("/events", meeting_id=each.id))
        for each in call.result().meetings
    )


def _replays(visit: Visit, beginning: str) -> Callable[[], Iterator[Hit]]:
    call = visit.client.webhooks.ListReplays.future(pb.ListReplaysRequest(id_prefix=beginning, page_size=_MOST))
    return lambda: (Hit("replay", each.id, each.state, f"/replays/{each.id}") for each in call.result().replays)


def _is_ours(visit: Visit, asked: str) -> bool:
    """Tell whether a meeting of that id was found as ours already."""
    if not _BEGINNING.fullmatch(asked):
        return False
    listed = visit.client.meetings.ListMeetings(pb.ListMeetingsRequest(id_prefix=asked, page_size=1))
    return any(each.id == asked for each in listed.meetings)
