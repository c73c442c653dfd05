"""`webhooks confirm-contact`: the code out of the mail to an endpoint's contact."""

from __future__ import annotations

import click

from noteflow_hooks.cli.support import finding
from noteflow_hooks.cli.support.helping import Command, example
from noteflow_hooks.cli.support.options import as_json, remote_options, webhook_argument
from noteflow_hooks.cli.support.output import show_fields
from noteflow_hooks.cli.support.remote import client, shown
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb


@click.command(cls=Command, name="confirm-contact")
@example("webhooks confirm-contact CRM 4F7K-92MA-Q0XE")
@remote_options
@webhook_argument
@click.argument("code")
@as_json
def confirm_contact(webhook: str, code: str, *, as_json: bool) -> None:
    """Give back the CODE that was mailed to an endpoint's contact, which hears of its trouble from then on."""
    with client() as server:
        whole_id = finding.webhook_id(server, webhook, changes=True)
        request = pb.ConfirmContactRequest(webhook_id=whole_id, code=code)
        show_fields(shown(server.webhooks.ConfirmContact(request)), as_json=as_json)
