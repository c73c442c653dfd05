"""`events`: what happened in the token's workspace, and telling of what happened elsewhere."""

from __future__ import annotations

from typing import Final

import click

from noteflow_hooks.cli.support.groups import CommandGroup
from noteflow_hooks.cli.support.helping import example, section
from noteflow_hooks.cli.support.options import as_json, limit_option, remote_options, standard_input
from noteflow_hooks.cli.support.output import show_fields, show_rows
from noteflow_hooks.cli.support.remote import client, listed, shown
from noteflow_hooks.domain.events import PUBLISHABLE
from noteflow_hooks.domain.publishing import kind_in_words, required_fields
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

_COLUMNS: Final = ("id", "event_type", "meeting_id", "idempotency_key", "occurred_at", "dispatched_at")


def _needed(event_type: str) -> str:
    """Return the fields of a type, each with what it takes."""
    return ", ".join(f"{name} ({kind_in_words(kind)})" for name, kind in required_fields(event_type).items())


@click.group(cls=CommandGroup)
@example("events list --event-type meeting.completed --since 2h")
@remote_options
def events() -> None:
    """Publish and list events, and erase what they say."""


@events.command()
@section("Types, and what their payloads must hold", {each: _needed(each) for each in PUBLISHABLE})
@example(
    'events publish recording.started --payload \'{"meeting_id": "m-1", "title": "Weekly"}\'',
    "events publish summary.generated --key summary-of-m-1 --payload - < file",
)
@remote_options
@click.argument("event_type", metavar="TYPE", type=click.Choice([each.value for each in PUBLISHABLE]))
@click.option("--payload", required=True, metavar="JSON|-", help="The payload; - reads it from standard input.")
@click.option("--key", help="With the same key, type and payload an event is stored once.")
@as_json
def publish(event_type: str, *, payload: str, key: str | None, as_json: bool) -> None:
    """Publish an event of TYPE: one of the four meeting types.

    The payload is one flat JSON object. It may hold a timestamp, in ISO 8601, and fields of your own.
    """
    text = standard_input() if payload == "-" else payload
    request = pb.PublishEventRequest(event_type=event_type, payload_json=text, idempotency_key=key)
    with client() as server:
        show_fields(shown(server.events.PublishEvent(request)), as_json=as_json)


@events.command("list")
@example("events list --event-type meeting.completed --since 2h")
@remote_options
@limit_option
@as_json
def list_(*, limit: int, as_json: bool) -> None:
    """List events, newest first."""
    with client() as server:
        rows = listed(server.events.ListEvents, pb.ListEventsRequest(), field="events", limit=limit)
    show_rows(rows, columns=_COLUMNS, as_json=as_json)


@events.command()
@example("events erase --meeting m-1")
@remote_options
@click.option("--meeting", "meeting_id", required=True, metavar="ID", help="The meeting's id, as its events name it.")
@as_json
def erase(meeting_id: str, *, as_json: bool) -> None:
    """Erase the payloads of a meeting's events for good, and what receivers answered to them.

    What waits to be sent is skipped; an attempt that is under way is the last one. What was sent is with its receivers.
    The meeting itself stays as it is, with its segments and its summary.
    """
    with client() as server:
        answer = server.events.EraseMeetingPayloads(pb.EraseMeetingPayloadsRequest(meeting_id=meeting_id))
    show_fields(shown(answer), as_json=as_json)
