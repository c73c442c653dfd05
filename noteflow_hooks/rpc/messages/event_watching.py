"""What a watch of events is asked for, and what it tells."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from noteflow_hooks.application.event_watching import EventCriteria, check_start, check_types
from noteflow_hooks.domain.violations import check_all
from noteflow_hooks.rpc.messages.convert import event_message
from noteflow_hooks.rpc.messages.pages import cursor_of, parse_cursor
from noteflow_hooks.rpc.messages.parse import parse_id, parse_time
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

if TYPE_CHECKING:
    from noteflow_hooks.domain.events import Event
    from noteflow_hooks.domain.paging import Position


def parse_event_watch(request: pb.WatchEventsRequest) -> tuple[EventCriteria, Position | None]:
    """Return which events are wanted, and behind what the watch begins, None for now."""
    types, webhook_id, start = check_all(
        lambda: check_types(request.types),
        lambda: parse_id("webhook_id", request.webhook_id) if request.webhook_id else None,
        lambda: _start(request),
    )
    return EventCriteria(types, webhook_id), start


def event_watch_message(event: Event | None, *, at: Position, missed: int) -> pb.WatchEventsResponse:
    """Return what is told; without an event it is a heartbeat."""
    shown = None if event is None else event_message(event)
    return pb.WatchEventsResponse(event=shown, cursor=cursor_of(at), missed=missed)


def _start(request: pb.WatchEventsRequest) -> Position | None:
    since = parse_time("since", request.since) if request.HasField("since") else None
    cursor = parse_cursor(request.cursor) if request.cursor else None
    return check_start(since, cursor, now=datetime.now(UTC))
