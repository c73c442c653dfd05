"""The commands of `webhooks` that change an endpoint."""

from __future__ import annotations

from typing import Any

import click

from noteflow_hooks.cli.options import as_json, remote_options, secret_option
from noteflow_hooks.cli.output import show_fields
from noteflow_hooks.cli.remote import client, shown
from noteflow_hooks.domain.webhooks import MAX_RETRIES, TIMEOUT_MS
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

#: What `add` and `update` share.
timeout_option = click.option(
    "--timeout-ms",
    type=click.IntRange(TIMEOUT_MS.start, TIMEOUT_MS.stop - 1),
    help="How long one attempt may take.",
)
retries_option = click.option(
    "--max-retries",
    type=click.IntRange(MAX_RETRIES.start, MAX_RETRIES.stop - 1),
    help="The most attempts of a delivery, the first one included.",
)


@click.command()
@remote_options
@click.argument("webhook_id", metavar="ID")
@click.option("--url", help="The new URL.")
@click.option("--events", help="The new subscription, all of it, separated by commas.")
@click.option("--name", help="The new name.")
@timeout_option
@retries_option
@as_json
def update(webhook_id: str, *, as_json: bool, events: str | None, **changes: str | int | None) -> None:
    """Change what is given, and nothing else."""
    given: dict[str, Any] = {name: value for name, value in changes.items() if value is not None}
    if events is not None:
        given["events"] = split(events)
    if not given:
        raise click.UsageError("nothing to change: give --url, --events, --name, --timeout-ms or --max-retries")
    _change(webhook_id, as_json=as_json, **given)


@click.command()
@remote_options
@click.argument("webhook_id", metavar="ID")
@as_json
def enable(webhook_id: str, *, as_json: bool) -> None:
    """Send events to an endpoint again, from now on."""
    _change(webhook_id, as_json=as_json, enabled=True)


@click.command()
@remote_options
@click.argument("webhook_id", metavar="ID")
@as_json
def disable(webhook_id: str, *, as_json: bool) -> None:
    """Send nothing to an endpoint. What happens until it is enabled again is recorded as skipped."""
    _change(webhook_id, as_json=as_json, enabled=False)


@click.command("rotate-secret")
@remote_options
@click.argument("webhook_id", metavar="ID")
@secret_option("The new secret; else the server makes one.")
@click.option(
    "--overlap-s",
    type=click.IntRange(0, 2_592_000),
    help="How long the secret before it signs too, in seconds; else 24 hours.",
)
@as_json
def rotate_secret(webhook_id: str, *, secret: str | None, overlap_s: int | None, as_json: bool) -> None:
    """Give an endpoint a new secret. It is shown now and never again."""
    request = pb.RotateWebhookSecretRequest(webhook_id=webhook_id, secret=secret, overlap_seconds=overlap_s)
    with client() as server:
        show_fields(shown(server.webhooks.RotateWebhookSecret(request)), as_json=as_json)


def split(text: str) -> list[str]:
    """Return the words of a list whose words are separated by commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def _change(webhook_id: str, *, as_json: bool, **changes: Any) -> None:  # noqa: ANN401 - each field has its own type
    request = pb.UpdateWebhookRequest(webhook_id=webhook_id, **changes)
    request.update_mask.paths.extend(changes)
    with client() as server:
        show_fields(shown(server.webhooks.UpdateWebhook(request)), as_json=as_json)
