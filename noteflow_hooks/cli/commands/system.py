"""`system`: whether relay, sweep, workers and Redis are well, as the server says to any token with `read`."""

from __future__ import annotations

import click

from noteflow_hooks.cli.support.helping import Command, example
from noteflow_hooks.cli.support.options import as_json, remote_options
from noteflow_hooks.cli.support.output import show_fields, show_json
from noteflow_hooks.cli.support.remote import client, shown
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb


@click.command(cls=Command)
@example("system", "system --json")
@remote_options
@as_json
def system(*, as_json: bool) -> None:
    """Show how relay, sweep, workers and Redis do."""
    with client() as server:
        found = server.webhooks.GetSystemState(pb.GetSystemStateRequest())
    if as_json:
        show_json(shown(found))
    else:
        show_fields({each.name: f"{each.state}: {each.reason}" for each in found.parts}, as_json=False)
