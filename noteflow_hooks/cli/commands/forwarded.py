"""The half of `listen` that forwards: which events, in what shape, and to where."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from noteflow_hooks.cli.support import finding
from noteflow_hooks.cli.support.forwarding import Forwarder, Forwarding, by_option
from noteflow_hooks.cli.support.remote import client, connector, timestamp
from noteflow_hooks.errors import InvalidInputError, NoteFlowHooksError
from noteflow_hooks.printable import escape
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

#: How often a server that is away is tried again.
_EVERY_S: Final = 1.0
#: The options by the fields of the request that they fill.
_OPTIONS: Final = {"types": "--events", "since": "--since", "webhook_id": "--webhook"}


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
    if since is not None and since > datetime.now(UTC):
        raise InvalidInputError("--since", "lies ahead; leave it out for what is stored from now on")
    request = pb.WatchEventsRequest(types=_types(events), since=timestamp(since))
    like = None
    if webhook is not None:
        with client() as server:
            request.webhook_id = finding.webhook_id(server, webhook)
            like = server.webhooks.GetWebhook(pb.GetWebhookRequest(webhook_id=request.webhook_id))
    forwarder = Forwarder(forward_to, secret=secret, headers=header, like=like)
    welcome = _welcome(forwarder.url, secret if is_own else None, like)
    forwarding = Forwarding(request, forwarder, as_json=form == "json", welcome=welcome)
    try:
        is_known = forwarding.keep_on(connector(), every_s=_EVERY_S)
    except InvalidInputError as error:
        raise by_option(error, _OPTIONS) from None
    if not is_known:
        raise NoteFlowHooksError("the server is of a release that can't be listened to: it has no WatchEvents")


def _types(events: str | None) -> list[str]:
    """Return the types that were named, none where all are meant."""
    if events is None:
        return []
    types = [each.strip() for each in events.split(",") if each.strip()]
    if not types:
        raise InvalidInputError("--events", "names no type; leave it out for all")
    return types


def _welcome(url: str, secret: str | None, like: pb.Webhook | None) -> str:
    what = "the workspace's events" if like is None else escape(f"what {like.name} gets, as {like.format}")
    signed = "the given secret" if secret is None else f"{secret}, which it has to know (--secret takes yours)"
    return f"forwarding {what} to {escape(url)}, signed with {signed}; Ctrl-C ends it"
