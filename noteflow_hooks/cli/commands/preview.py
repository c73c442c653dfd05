"""`webhooks preview`: the request that would be made of an event, without making it."""

from __future__ import annotations

import click

from noteflow_hooks.cli.support import finding
from noteflow_hooks.cli.support.helping import Command, example
from noteflow_hooks.cli.support.options import as_json, remote_options
from noteflow_hooks.cli.support.output import pretty_json, show_json
from noteflow_hooks.cli.support.remote import client, shown
from noteflow_hooks.domain.options import Format
from noteflow_hooks.printable import escape
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb


@click.command(cls=Command)
@example("webhooks preview 0192f3c1 --format cloudevents", "webhooks preview 0192f3c1 --webhook CRM")
@remote_options
@click.argument("event")
@click.option("--webhook", help="To this endpoint: its name, or its id or the beginning of it.")
@click.option(
    "--format", "format_", type=click.Choice([each.value for each in Format]), help="In this format, to any endpoint."
)
@as_json
def preview(event: str, *, webhook: str | None, format_: str | None, as_json: bool) -> None:
    """Show the request that would be made of an EVENT. Nothing is sent, and nothing is signed."""
    if (webhook is None) == (format_ is None):
        raise click.UsageError("one of --webhook and --format must be given, and not both")
    with client() as server:
        request = pb.PreviewPayloadRequest(
            event_id=finding.event_id(server, event),
            webhook_id=None if webhook is None else finding.webhook_id(server, webhook),
            format=format_,
        )
        answer = server.webhooks.PreviewPayload(request)
    if as_json:
        show_json(shown(answer))
    else:
        click.echo("\n".join(escape(f"{each.name}: {each.value}") for each in answer.headers))
        click.echo(f"\n{pretty_json(answer.body)}")
