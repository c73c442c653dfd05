"""The commands of `webhooks` that change an endpoint."""

from __future__ import annotations

from typing import Any, Final

import click
from click.core import ParameterSource

from noteflow_hooks.cli.support import finding
from noteflow_hooks.cli.support.endpoint_options import (
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
from noteflow_hooks.cli.support.helping import Command, example
from noteflow_hooks.cli.support.options import UrlText, as_json, remote_options, secret_option, webhook_argument
from noteflow_hooks.cli.support.output import show_fields
from noteflow_hooks.cli.support.remote import client, shown
from noteflow_hooks.domain.endpoint_keys import Rotated
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

#: The flags of `update` that take a value away, each with its field and the options that give one.
_TAKES_AWAY: Final = {
    "no_headers": ("headers", "--header or --headers-file"),
    "no_rate_limit": ("rate_limit_per_s", "--rate-limit-per-s"),
    "no_max_concurrency": ("max_concurrency", "--max-concurrency"),
    "no_client_certificate": ("client_certificate", "--client-certificate"),
    "no_server_ca": ("server_ca", "--server-ca"),
    "no_contact": ("contact", "--contact"),
}


@click.command(cls=Command)
@example("webhooks update CRM --rate-limit-per-s 20 --max-concurrency 5")
@remote_options
@webhook_argument
@click.option("--url", type=UrlText(), metavar="URL|-", help="The new URL; - reads it from standard input.")
@click.option("--events", help="The new subscription, all of it, separated by commas.")
@click.option("--name", help="The new name.")
@timeout_option
@retries_option
@headers_options
@click.option("--no-headers", is_flag=True, help="Send no headers of its own any more.")
@rate_option
@click.option("--no-rate-limit", is_flag=True, help="Take the rate limit away.")
@concurrency_option
@click.option("--no-max-concurrency", is_flag=True, help="Take its own cap away; the server's stays.")
@payload_version_option
@signing_option
@behaviour_options
@certificate_options
@click.option("--no-client-certificate", is_flag=True, help="Take the client certificate away, and its key.")
@click.option("--no-server-ca", is_flag=True, help="Trust the system's authorities again.")
@click.option("--no-contact", is_flag=True, help="Tell nobody by mail any more.")
@as_json
def update(webhook: str, *, as_json: bool, **options: Any) -> None:  # noqa: ANN401 - each option has its own type
    """Change what is given, and nothing else. Headers that are given replace all that it had."""
    changes = _changes(options)
    if not changes:
        raise click.UsageError("nothing to change: give --url, --events, --name or another option")
    _change(webhook, as_json=as_json, **changes)


@click.command(cls=Command)
@example("webhooks enable CRM")
@remote_options
@webhook_argument
@as_json
def enable(webhook: str, *, as_json: bool) -> None:
    """Send events to an endpoint again, from now on."""
    _change(webhook, as_json=as_json, enabled=True)


@click.command(cls=Command)
@example("webhooks disable CRM")
@remote_options
@webhook_argument
@as_json
def disable(webhook: str, *, as_json: bool) -> None:
    """Send nothing to an endpoint. What happens until it is enabled again is recorded as skipped."""
    _change(webhook, as_json=as_json, enabled=False)


@click.command(cls=Command)
@example("webhooks pause CRM")
@remote_options
@webhook_argument
@as_json
def pause(webhook: str, *, as_json: bool) -> None:
    """Hold an endpoint's deliveries until it resumes. What happens meanwhile waits too."""
    _change(webhook, as_json=as_json, paused=True)


@click.command(cls=Command)
@example("webhooks resume CRM")
@remote_options
@webhook_argument
@as_json
def resume(webhook: str, *, as_json: bool) -> None:
    """Send what was held while an endpoint was paused, and go on."""
    _change(webhook, as_json=as_json, paused=False)


@click.command(cls=Command, name="rotate-secret")
@example("webhooks rotate-secret CRM --overlap-s 3600", "webhooks rotate-secret CRM --what key")
@remote_options
@webhook_argument
@secret_option("The new secret; else the server makes one.")
@click.option(
    "--overlap-s",
    type=click.IntRange(0, 2_592_000),
    help="How long what was before it signs too, in seconds; else 24 hours.",
)
@click.option(
    "--what",
    type=click.Choice([each.value for each in Rotated]),
    help="What to make anew; else whatever signs its requests.",
)
@as_json
def rotate_secret(webhook: str, *, secret: str | None, overlap_s: int | None, what: str | None, as_json: bool) -> None:
    """Give an endpoint a new secret, key pair or both. A secret is shown now and never again."""
    if what == Rotated.KEY and is_from_environment("secret"):
        secret = None
    with client() as server:
        whole_id = finding.webhook_id(server, webhook, changes=True)
        request = pb.RotateWebhookSecretRequest(
            webhook_id=whole_id, secret=secret, overlap_seconds=overlap_s, what=what
        )
        show_fields(shown(server.webhooks.RotateWebhookSecret(request)), as_json=as_json)


def is_from_environment(name: str) -> bool:
    """Tell whether a parameter of the command that runs has its value from the environment."""
    return click.get_current_context().get_parameter_source(name) is ParameterSource.ENVIRONMENT


def split(text: str) -> list[str]:
    """Return the words of a list whose words are separated by commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def _changes(options: dict[str, Any]) -> dict[str, Any]:
    """Return the fields to change; one that is None has no value any more."""
    taken_away = [flag for flag in _TAKES_AWAY if options.pop(flag)]
    headers = given_headers(options.pop("header"), options.pop("headers_file"))
    events = options.pop("events")
    changes = {name: value for name, value in options.items() if value is not None}
    if events is not None:
        changes["events"] = split(events)
    if headers:
        changes["headers"] = headers
    for flag in taken_away:
        field, rival = _TAKES_AWAY[flag]
        if field in changes:
            raise click.UsageError(f"--{flag.replace('_', '-')} can't be given together with {rival}")
        changes[field] = None
    return changes


def _change(webhook: str, *, as_json: bool, **changes: Any) -> None:  # noqa: ANN401 - each field has its own type
    with client() as server:
        whole_id = finding.webhook_id(server, webhook, changes=True)
        request = pb.UpdateWebhookRequest(webhook_id=whole_id, **changes)
        request.update_mask.paths.extend(changes)
        show_fields(shown(server.webhooks.UpdateWebhook(request)), as_json=as_json)
