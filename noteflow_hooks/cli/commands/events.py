"""`events`: what happened in the token's workspace, and telling of what happened elsewhere."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import click

from noteflow_hooks.cli.commands.event_types import delete_type, put_type, types
from noteflow_hooks.cli.support import finding
from noteflow_hooks.cli.support.asking import ask, yes_option
from noteflow_hooks.cli.support.event_lines import publish_lines
from noteflow_hooks.cli.support.groups import CommandGroup
from noteflow_hooks.cli.support.helping import example, section
from noteflow_hooks.cli.support.listing import listed, without_details
from noteflow_hooks.cli.support.options import (
    Filled,
    as_json,
    event_type_option,
    limit_option,
    period_options,
    remote_options,
    standard_input,
    table_options,
)
from noteflow_hooks.cli.support.output import pretty_json, show_fields, show_json, show_list, show_rows
from noteflow_hooks.cli.support.remote import client, shown, timestamp
from noteflow_hooks.domain.events import PUBLISHABLE, is_custom
from noteflow_hooks.domain.publishing import kind_in_words, required_fields
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from noteflow_hooks.client import Client

#: Columns that a narrow terminal misses, the first ones first.
_SPARE: Final = ("idempotency_key", "dispatched_at")
_COLUMNS: Final = ("id", "event_type", "meeting_id", "idempotency_key", "payload", "occurred_at", "dispatched_at")
_DELIVERY_COLUMNS: Final = ("id", "webhook", "status", "attempt_count", "status_code", "created_at", "reason")
_NONE: Final = "no events yet; `noteflow-hooks events publish TYPE --payload JSON` stores one"
_NONE_OF_THESE: Final = "no events like that; `noteflow-hooks events list` shows all"
#: What a payload is called that is gone.
ERASED: Final = "erased"
#: The most endpoints that GetEvent looks at in one call.
_ENDPOINTS: Final = 100


class Type(click.ParamType[str]):
    """A type that can be published; whether the workspace has one of its own, the server says."""

    name = "type"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the type."""
        if value not in PUBLISHABLE and not is_custom(value):
            self.fail(f"{value!r} is none of {', '.join(PUBLISHABLE)}, custom.<name>", param, ctx)
        return value


def _needed(event_type: str) -> str:
    """Return the fields of a type, each with what it takes."""
    return ", ".join(f"{name} ({kind_in_words(kind)})" for name, kind in required_fields(event_type).items())


@click.group(cls=CommandGroup)
@example("events list --event-type meeting.completed --since 2h")
@remote_options
def events() -> None:
    """Publish and list events, and erase what they say; and the types of events."""


for command in (types, put_type, delete_type):
    events.add_command(command)


@events.command()
@section("Types, and what their payloads must hold", {each: _needed(each) for each in PUBLISHABLE})
@example(
    'events publish recording.started --payload \'{"meeting_id": "m-1", "title": "Weekly"}\'',
    "events publish summary.generated --key summary-of-m-1 --payload - < file",
    "events publish --lines events.jsonl",
)
@remote_options
@click.argument("event_type", metavar="[TYPE]", required=False, type=Type())
@click.option("--payload", metavar="JSON|-", help="The payload; - reads it from standard input.")
@click.option("--key", help="With the same key, type and payload an event is stored once.")
@click.option("--lines", metavar="FILE|-", help="Many events, one JSON object a line; - reads standard input.")
@as_json
def publish(event_type: str | None, *, payload: str | None, key: str | None, lines: str | None, as_json: bool) -> None:
    """Publish an event of TYPE, one of the four meeting types or custom.<name>, or the events of a file.

    The payload is one flat JSON object; that of a type of your own may be nested, as its schema says. It may hold a
    timestamp, in ISO 8601, and fields of your own.

    Each of the --lines is {"event_type": …, "payload": {…}, "idempotency_key": …}. Without a type it is of TYPE; with a
    key it is tried again while the server is away. Lines that are refused are named, and fail the command.
    """
    if lines is not None:
        if payload is not None or key is not None:
            raise click.UsageError("--lines has payloads and keys of its own: leave out --payload and --key")
        publish_lines(lines, event_type=event_type, as_json=as_json)
        return
    if event_type is None or payload is None:
        raise click.UsageError("give a TYPE and its --payload, or --lines")
    text = standard_input() if payload == "-" else payload
    request = pb.PublishEventRequest(event_type=event_type, payload_json=text, idempotency_key=key)
    with client() as server:
        show_fields(shown(server.events.PublishEvent(request)), as_json=as_json)


@events.command("list")
@example("events list --event-type meeting.completed --since 2h")
@remote_options
@event_type_option
@click.option("--meeting", "meeting_id", type=Filled(), metavar="ID", help="Only those of this meeting.")
@period_options
@limit_option
@table_options
def list_(
    *,
    event_type: str | None,
    meeting_id: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    as_json: bool,
) -> None:
    """List events, newest first."""
    request = pb.ListEventsRequest(
        event_type=event_type, meeting_id=meeting_id, created_after=timestamp(since), created_before=timestamp(until)
    )
    with client() as server:
        found = listed(server.events.ListEvents, request, field="events", limit=limit)
    if not as_json:
        found = replace(found, rows=[{**row, "payload": payload_state(row)} for row in found.rows])
    is_filtered = any((event_type, meeting_id, since, until))
    show_list(
        found,
        columns=_COLUMNS,
        spare=_SPARE,
        as_json=as_json,
        empty=_NONE_OF_THESE if is_filtered else _NONE,
    )


@events.command()
@example("events show 0192f3c1")
@remote_options
@click.argument("event_id", metavar="ID")
@table_options
def show(event_id: str, *, as_json: bool) -> None:
    """Show one event, with its payload, its deliveries, and why endpoints have none.

    With --json, the event with two lists: deliveries, and without_delivery.
    """
    with client() as server:
        found = _read(server, finding.event_id(server, event_id))
        rows = [] if as_json else finding.with_names(found["deliveries"], server)
    if as_json:
        show_json(found)
        return
    show_fields(found, as_json=False, leave_out=("payload", "deliveries", "without_delivery"))
    erased = payload_state(found) == ERASED
    click.echo(f"\npayload\n{ERASED if erased else pretty_json(found['payload'])}\n")
    if rows:
        show_rows(rows, columns=_DELIVERY_COLUMNS, spare=("created_at", "status_code"), as_json=False)
    else:
        click.echo("no deliveries")
    if found["without_delivery"]:
        click.echo("\nendpoints without one")
        show_rows(found["without_delivery"], columns=("webhook_id", "name", "reason"), as_json=False)


def payload_state(row: Mapping[str, Any]) -> str:
    """Return whether an event's payload is there, in a word."""
    return ERASED if "payload_erased_at" in row else "kept"


def _read(server: Client, event_id: str) -> dict[str, Any]:
    """Return an event with its deliveries, and all endpoints without one, page after page."""
    request = pb.GetEventRequest(event_id=event_id, page_size=_ENDPOINTS)
    answer = server.events.GetEvent(request)
    found = shown(answer.event)
    found["deliveries"] = [without_details(shown(each)) for each in answer.deliveries]
    found["without_delivery"] = [shown(each) for each in answer.without_delivery]
    while answer.next_page_token:
        request.page_token = answer.next_page_token
        answer = server.events.GetEvent(request)
        found["without_delivery"] += [shown(each) for each in answer.without_delivery]
    return found


@events.command()
@example("events erase --meeting m-1")
@remote_options
@click.option("--meeting", "meeting_id", required=True, metavar="ID", help="The meeting's id, as its events name it.")
@yes_option
@as_json
def erase(meeting_id: str, *, yes: bool, as_json: bool) -> None:
    """Erase the payloads of a meeting's events for good, and what receivers answered to them.

    What waits to be sent is skipped; an attempt that is under way is the last one. What was sent is with its receivers.
    The meeting itself stays as it is, with its segments and its summary.
    """
    ask(f"Erase the payloads of all events of meeting {meeting_id}, for good?", yes=yes)
    with client() as server:
        answer = server.events.EraseMeetingPayloads(pb.EraseMeetingPayloadsRequest(meeting_id=meeting_id))
    show_fields(shown(answer), as_json=as_json)
