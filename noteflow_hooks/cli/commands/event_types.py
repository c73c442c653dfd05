"""The commands of `events` for the types of events: the catalogue, and the workspace's own."""

from __future__ import annotations

from typing import Final

import click

from noteflow_hooks.cli.support.asking import ask, yes_option
from noteflow_hooks.cli.support.helping import Command, example
from noteflow_hooks.cli.support.listing import Listing
from noteflow_hooks.cli.support.options import as_json, remote_options, table_options, text_of
from noteflow_hooks.cli.support.output import pretty_json, show_fields, show_json, show_list
from noteflow_hooks.cli.support.remote import client, shown
from noteflow_hooks.printable import escape
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

_COLUMNS: Final = ("name", "payload_version", "since", "deprecated", "description")
#: What a table has no room for.
_TEXTS: Final = ("schema", "example")


@click.command(cls=Command)
@example("events types", "events types meeting.completed")
@remote_options
@click.argument("name", metavar="[TYPE]", required=False)
@click.option("--payload-version", type=click.IntRange(min=1), help="Of that version; else of the newest.")
@table_options
def types(name: str | None, *, payload_version: int | None, as_json: bool) -> None:
    """List the types of events, ours and your own; with a TYPE, show its schema and an example of its payload."""
    if name is None:
        if payload_version is not None:
            raise click.UsageError("--payload-version goes with a TYPE")
        _list(as_json=as_json)
        return
    with client() as server:
        found = shown(server.events.GetEventType(pb.GetEventTypeRequest(name=name, payload_version=payload_version)))
    if as_json:
        show_json(found)
        return
    show_fields(found, as_json=False, leave_out=_TEXTS)
    for text in _TEXTS:
        click.echo(f"\n{text}\n{pretty_json(found[text]) if found[text] else 'none'}")


def _list(*, as_json: bool) -> None:
    with client() as server:
        answer = server.events.ListEventTypes(pb.ListEventTypesRequest())
    rows = [shown(each) for each in answer.event_types]
    show_list(Listing(rows), columns=_COLUMNS, spare=("since",), as_json=as_json, empty="no types")


@click.command(cls=Command, name="put-type")
@example("events put-type custom.order_paid --schema order.json --description 'An order was paid.'")
@remote_options
@click.argument("name", metavar="TYPE")
@click.option("--schema", required=True, metavar="FILE|-", help="The payload's JSON Schema; - reads standard input.")
@click.option("--description", default="", help="What it tells of.")
@click.option("--example", "example_", metavar="FILE", help="A payload for readers, which fits the schema.")
@click.option("--deprecated", is_flag=True, help="It is to go: nothing new should rely on it.")
@as_json
def put_type(
    name: str, *, schema: str, description: str, example_: str | None, deprecated: bool, as_json: bool
) -> None:
    """Store a type of your own, custom.<name>, in place of one of that name.

    What is published of it from then on is checked by the schema, JSON Schema 2020-12.
    """
    request = pb.PutEventTypeRequest(
        name=name,
        schema=text_of(schema),
        description=description,
        example=None if example_ is None else text_of(example_),
        deprecated=deprecated,
    )
    with client() as server:
        found = shown(server.events.PutEventType(request))
    show_fields(found, as_json=as_json, leave_out=() if as_json else _TEXTS)


@click.command(cls=Command, name="delete-type")
@example("events delete-type custom.order_paid")
@remote_options
@click.argument("name", metavar="TYPE")
@yes_option
@as_json
def delete_type(name: str, *, yes: bool, as_json: bool) -> None:
    """Remove a type of your own: it can't be published any more. What was published is delivered."""
    ask(f"Remove the event type {name}?", yes=yes)
    with client() as server:
        server.events.DeleteEventType(pb.DeleteEventTypeRequest(name=name))
    if as_json:
        show_json({"name": name, "removed": True})
    else:
        click.echo(escape(f"removed {name}"))
