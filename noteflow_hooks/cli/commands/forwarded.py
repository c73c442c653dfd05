"""The half of `listen` that forwards: which events, in what shape, and to where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from noteflow_hooks.cli.support import finding
from noteflow_hooks.cli.support.forwarding import Forwarder, Forwarding
from noteflow_hooks.cli.support.remote import client, connector, timestamp
from noteflow_hooks.errors import NoteFlowHooksError
from noteflow_hooks.printable import escape
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

if TYPE_CHECKING:
    from datetime import datetime

#: How often a server that is away is tried again.
_EVERY_S: Final = 1.0


def forward(
    *,
    forward_to: str,
    secret: str,
    is_own: bool,
    events: str | None,
    webhook: str | None,
    since: datetime | None,
    header: tuple[tuple[str, str], ...],
    form: str,
) -> None:
    """Post what is told to that URL, until interrupted; ``is_own`` says that the secret was made here."""
    types = [each.strip() for each in events.split(",") if each.strip()] if events is not None else []
    request = pb.WatchEventsRequest(types=types, since=timestamp(since))
    like = None
    if webhook is not None:
        with client() as server:
            request.webhook_id = finding.webhook_id(server, webhook)
            like = server.webhooks.GetWebhook(pb.GetWebhookRequest(webhook_id=request.webhook_id))
    forwarder = Forwarder(forward_to, secret=secret, headers=header, like=like)
    click.echo(_welcome(forwarder.url, secret if is_own else None, like), err=form == "json")
    if not Forwarding(request, forwarder, as_json=form == "json").keep_on(connector(), every_s=_EVERY_S):
        raise NoteFlowHooksError("the server is of a release that can't be listened to: it has no WatchEvents")


def _welcome(url: str, secret: str | None, like: pb.Webhook | None) -> str:
    what = "the workspace's events" if like is None else escape(f"what {like.name} gets, as {like.format}")
    signed = "the given secret" if secret is None else f"the secret {secret}"
    return f"forwarding {what} to {escape(url)}, signed with {signed}; Ctrl-C ends it"
