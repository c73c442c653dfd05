"""`whoami`: whose the token is, what it may do, and the limits that it can run into."""

from __future__ import annotations

import click

from noteflow_hooks.cli.support.helping import Command, example
from noteflow_hooks.cli.support.options import as_json, remote_options
from noteflow_hooks.cli.support.output import show_fields, show_json
from noteflow_hooks.cli.support.remote import client, shown
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb


@click.command(cls=Command)
@example("whoami", "whoami --json")
@remote_options
@as_json
def whoami(*, as_json: bool) -> None:
    """Show the workspace and the scopes of the token, when it ends, and the limits that are in force."""
    with client() as server:
        found = shown(server.webhooks.WhoAmI(pb.WhoAmIRequest()))
    if as_json:
        show_json(found)
        return
    limits = found.pop("limits")
    show_fields({**found, "expires_at": found.get("expires_at", "never")}, as_json=False)
    click.echo("\nlimits")
    show_fields(limits, as_json=False)
