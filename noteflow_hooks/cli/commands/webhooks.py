"""`webhooks`: the endpoints of the token's workspace."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import click

from noteflow_hooks.cli.commands.contacts import confirm_contact
from noteflow_hooks.cli.commands.filter_test import filter_test
from noteflow_hooks.cli.commands.preview import preview
from noteflow_hooks.cli.commands.webhook_changes import (
    disable,
    enable,
    is_from_environment,
    pause,
    resume,
    rotate_secret,
    split,
    update,
)
from noteflow_hooks.cli.support import finding
from noteflow_hooks.cli.support.asking import ask, yes_option
from noteflow_hooks.cli.support.endpoint_options import (
    Pair,
    behaviour_options,
    certificate_options,
    concurrency_option,
    given_headers,
    headers_options,
    payload_version_option,
    rate_option,
    retries_option,
    signing_option,
    timeout_option,
)
from noteflow_hooks.cli.support.groups import CommandGroup
from noteflow_hooks.cli.support.helping import example
from noteflow_hooks.cli.support.listing import DELIVERY_DETAILS, listed
from noteflow_hooks.cli.support.options import (
    Filled,
    UrlText,
    as_json,
    remote_options,
    secret_option,
    table_options,
    webhook_argument,
)
from noteflow_hooks.cli.support.output import show_fields, show_json, show_list
from noteflow_hooks.cli.support.remote import client, shown
from noteflow_hooks.domain.endpoint_keys import Signing
from noteflow_hooks.domain.events import PUBLISHABLE, SUBSCRIBABLE
from noteflow_hooks.domain.health.endpoint_state import EndpointState
from noteflow_hooks.domain.presets import PRESETS
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

#: Columns that a narrow terminal misses, the first ones first.
_SPARE: Final = ("created_at", "signed", "paused", "events")
_COLUMNS: Final = ("id", "name", "url", "events", "enabled", "paused", "health", "signed", "created_at")
_FAILED: Final = 1
_NONE_OF_THESE: Final = "no endpoints like that; `noteflow-hooks webhooks list` shows all"
_NONE: Final = "no endpoints yet; `noteflow-hooks webhooks add URL` registers one"


@click.group(cls=CommandGroup)
@example("webhooks add https://crm.example/hooks --name CRM")
@remote_options
def webhooks() -> None:
    """Register and change endpoints."""


for command in (update, enable, disable, pause, resume, rotate_secret, preview, filter_test, confirm_contact):
    webhooks.add_command(command)


@webhooks.command()
@example(
    "webhooks add https://crm.example/hooks --name CRM",
    "webhooks add https://a.example/ --events meeting.completed --secret -",
    "webhooks add https://b.example/ --signing ed25519",
    "webhooks add - --format slack --name standup < url.txt",
)
@remote_options
@click.argument("url", type=UrlText(), metavar="URL|-")
@click.option(
    "--events",
    default=",".join(PUBLISHABLE),
    show_default=True,
    help=f"What to subscribe to, separated by commas, of: {', '.join(SUBSCRIBABLE)}, custom.<name>.",
)
@click.option("--name", help="What to call it.")
@secret_option("Sign with this secret.")
@click.option("--generate-secret", is_flag=True, help="Sign with a secret that the server makes: the default.")
@click.option("--unsigned", is_flag=True, help="Don't sign.")
@timeout_option
@retries_option
@headers_options
@rate_option
@concurrency_option
@payload_version_option
@signing_option
@behaviour_options
@certificate_options
@as_json
def add(
    url: str,
    *,
    events: str,
    name: str | None,
    secret: str | None,
    generate_secret: bool,
    unsigned: bool,
    timeout_ms: int | None,
    max_retries: int | None,
    header: tuple[Pair, ...],
    headers_file: tuple[Pair, ...] | None,
    rate_limit_per_s: float | None,
    max_concurrency: int | None,
    payload_version: int | None,
    signing: str | None,
    client_certificate: str | None,
    client_key: str | None,
    server_ca: str | None,
    as_json: bool,
    **behaviour: Any,  # noqa: ANN401 - each option has its own type
) -> None:
    """Register an endpoint at URL. Its secret is shown now and never again.

    A chat's URL is a credential: - reads it from standard input. Such an endpoint is not signed.
    """
    is_preset = behaviour.get("format") in PRESETS
    if (generate_secret or unsigned or is_preset or signing == Signing.ED25519) and is_from_environment("secret"):
        secret = None
    if sum((secret is not None, generate_secret, unsigned)) > 1:
        raise click.UsageError("only one of --secret, --generate-secret and --unsigned can be given")
    if unsigned and signing is not None:
        raise click.UsageError("--unsigned can't be given together with --signing")
    # A key pair needs no secret beside it.
    is_unsigned = unsigned or is_preset
    generate_secret = generate_secret or (secret is None and not is_unsigned and signing != Signing.ED25519)
    request = pb.RegisterWebhookRequest(
        url=url,
        events=split(events),
        name=name,
        secret=secret,
        generate_secret=generate_secret,
        timeout_ms=timeout_ms,
        max_retries=max_retries,
        headers=given_headers(header, headers_file),
        rate_limit_per_s=rate_limit_per_s,
        max_concurrency=max_concurrency,
        payload_version=payload_version,
        signing=signing,
        client_certificate=client_certificate,
        client_key=client_key,
        server_ca=server_ca,
        **behaviour,
    )
    with client() as server:
        show_fields(shown(server.webhooks.RegisterWebhook(request)), as_json=as_json)


@webhooks.command("list")
@example("webhooks list", "webhooks list --state failing", "webhooks list --text crm")
@remote_options
@click.option(
    "--state",
    type=click.Choice([each.value for each in EndpointState]),
    metavar="STATE",
    help=f"Only those in this state: {', '.join(EndpointState)}.",
)
@click.option("--text", type=Filled(), help="Only those with this text in their name or host.")
@table_options
def list_(*, state: str | None, text: str | None, as_json: bool) -> None:
    """List the endpoints, newest first."""
    with client() as server:
        request = pb.ListWebhooksRequest(state=state, text=text)
        found = listed(server.webhooks.ListWebhooks, request, field="webhooks")
    if not as_json:
        found = replace(found, rows=[{**row, "health": row["health"]["state"]} for row in found.rows])
    show_list(found, columns=_COLUMNS, spare=_SPARE, as_json=as_json, empty=_NONE_OF_THESE if state or text else _NONE)


@webhooks.command()
@example("webhooks show CRM")
@remote_options
@webhook_argument
@as_json
def show(webhook: str, *, as_json: bool) -> None:
    """Show one endpoint."""
    with client() as server:
        whole_id = finding.webhook_id(server, webhook)
        found = server.webhooks.GetWebhook(pb.GetWebhookRequest(webhook_id=whole_id))
    show_fields(shown(found), as_json=as_json)


@webhooks.command()
@example("webhooks remove CRM")
@remote_options
@webhook_argument
@yes_option
@as_json
def remove(webhook: str, *, yes: bool, as_json: bool) -> None:
    """Delete an endpoint and its secrets."""
    with client() as server:
        whole_id = finding.webhook_id(server, webhook, changes=True)
        ask(f"Delete {webhook} and its secrets? What waits for it is skipped.", yes=yes)
        server.webhooks.DeleteWebhook(pb.DeleteWebhookRequest(webhook_id=whole_id))
    _say(f"removed {whole_id}", {"id": whole_id, "removed": True}, as_json=as_json)


@webhooks.command()
@example("webhooks test CRM")
@remote_options
@webhook_argument
@click.option("--wait-s", type=click.FloatRange(0, 60), default=10.0, show_default=True, help="How long to wait.")
@as_json
def test(webhook: str, *, wait_s: float, as_json: bool) -> int:
    """Send a test event to an endpoint. The exit status is 0 only if it arrived."""
    with client() as server:
        whole_id = finding.webhook_id(server, webhook, changes=True)
        request = pb.TestWebhookRequest(webhook_id=whole_id, wait_seconds=wait_s)
        answer = server.webhooks.TestWebhook(request, timeout=wait_s + 15)
    if as_json:
        show_json(shown(answer))
    else:
        show_fields({"event_id": answer.event_id, **_outcome(answer)}, as_json=False, leave_out=DELIVERY_DETAILS)
    return 0 if answer.delivery.status == "succeeded" else _FAILED


@webhooks.command()
@example("webhooks verify CRM")
@remote_options
@webhook_argument
@click.option("--wait-s", type=click.FloatRange(0, 60), default=10.0, show_default=True, help="How long to wait.")
@as_json
def verify(webhook: str, *, wait_s: float, as_json: bool) -> int:
    """Ask an endpoint anew whether it wants deliveries. The exit status is 0 only if it is verified."""
    with client() as server:
        whole_id = finding.webhook_id(server, webhook, changes=True)
        request = pb.VerifyWebhookRequest(webhook_id=whole_id, wait_seconds=wait_s)
        answer = server.webhooks.VerifyWebhook(request, timeout=wait_s + 15)
    found = answer.webhook
    is_verified = found.HasField("verified_at") and not found.HasField("pending_url")
    if as_json:
        show_json(shown(answer))
    else:
        state = {"verified": is_verified, "verified_at": shown(found).get("verified_at"), "url": found.url}
        state |= {"pending_url": found.pending_url} if found.pending_url else {}
        asked = {"event_id": answer.event_id, **_outcome(answer)} if answer.event_id else {}
        show_fields(state | asked, as_json=False, leave_out=DELIVERY_DETAILS)
    return 0 if is_verified else _FAILED


def _outcome(answer: pb.TestWebhookResponse | pb.VerifyWebhookResponse) -> dict[str, Any]:
    return shown(answer.delivery) if answer.HasField("delivery") else {"status": "not dispatched yet"}


def _say(line: str, value: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        show_json(value)
    else:
        click.echo(line)
