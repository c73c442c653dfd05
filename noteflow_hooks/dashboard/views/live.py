"""Deliveries as they happen: a page, and the stream that it reads. However much happens, little of it is kept.

A thread waits for each stream's next message, and of those there are so many at most; a browser that reads slowly makes
the gRPC server leave out what it would have to keep, and count it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from noteflow_hooks.client import pb
from noteflow_hooks.dashboard.views.asking import endpoint_names, moment
from noteflow_hooks.dashboard.views.narrowing import choices, chosen, request_fields
from noteflow_hooks.dashboard.visit import Page, Stream, address

if TYPE_CHECKING:
    from collections.abc import Iterator

    from noteflow_hooks.dashboard.visit import Visit

    Message: TypeAlias = pb.WatchDeliveriesResponse

#: Rows that a page keeps; what came before is in the list of deliveries.
KEPT: Final = 200


def shown(visit: Visit) -> Page:
    """Return the page."""
    kept = chosen(visit.query)
    # The stream would refuse them, and has no form to say so in.
    request_fields(visit.asked)
    values = {
        "chosen": kept,
        "is_filtered": any(kept.values()),
        "names": endpoint_names(visit),
        "kept": KEPT,
        "stream": address("/live/stream", **kept),
        "list": address("/deliveries", **kept),
        **choices(visit),
    }
    return Page("live.html", values)


def streamed(visit: Visit) -> Stream:
    """Return what happens from now on, or from ``since`` on, a line of JSON for each message."""
    request = pb.WatchDeliveriesRequest(**request_fields(visit.query))
    since = visit.query.text("since")
    if since:
        request.since.CopyFrom(moment(since, name="since"))
    call: Any = visit.client.webhooks.WatchDeliveries(request)
    # Refusals come with the first message, which is a heartbeat: they are answered like any page's.
    first = next(call)
    return Stream(_lines(visit, first, call), call.cancel)


def _lines(
    visit: Visit, first: pb.WatchDeliveriesResponse, call: Iterator[pb.WatchDeliveriesResponse]
) -> Iterator[str]:
    names = endpoint_names(visit)
    yield _line(visit, first, names)
    for each in call:
        yield _line(visit, each, names)


def _line(visit: Visit, message: Message, names: dict[str, str]) -> str:
    line: dict[str, Any] = {"at": message.at.ToJsonString(), "missed": message.missed}
    if message.HasField("delivery"):
        values = {"each": message.delivery, "names": names, "at": message.at}
        line["row"] = visit.render("live_row.html", values)
    return json.dumps(line) + "\n"
