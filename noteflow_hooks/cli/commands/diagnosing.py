"""The commands of `deliveries` that say why one failed, and that have it sent by hand."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from noteflow_hooks.cli.support import finding
from noteflow_hooks.cli.support.helping import Command, example
from noteflow_hooks.cli.support.options import as_json, remote_options
from noteflow_hooks.cli.support.output import show_json
from noteflow_hooks.cli.support.program import program_name
from noteflow_hooks.cli.support.remote import client
from noteflow_hooks.cli.support.screen import is_terminal, screen
from noteflow_hooks.client.curl import endpoint_of, script
from noteflow_hooks.client.diagnosis import diagnose as diagnosis_of
from noteflow_hooks.client.diagnosis import waits_for
from noteflow_hooks.printable import cell, escape
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from noteflow_hooks.client import Client
    from noteflow_hooks.client.diagnosis import Diagnosis

#: So much of a receiver's answer is shown.
_ANSWER_LIMIT: Final = 500
#: The command of `webhooks` that ends what a delivery waits for.
_UNDONE: Final = {"disabled": "enable", "paused": "resume", "unverified": "verify"}


@click.command(cls=Command)
@example("deliveries diagnose 0192f3c1")
@remote_options
@click.argument("delivery_id", metavar="ID")
@as_json
def diagnose(delivery_id: str, *, as_json: bool) -> None:
    """Say what happened to a delivery, why, and what to do next."""
    with client() as server:
        delivery, endpoint, event = _read(server, finding.delivery_id(server, delivery_id))
    found = diagnosis_of(delivery, endpoint, is_erased=event.HasField("payload_erased_at"))
    told = _told(delivery, endpoint, event, found)
    if as_json:
        show_json(told)
    else:
        _show(told)


@click.command(cls=Command)
@example("deliveries curl 0192f3c1")
@remote_options
@click.argument("delivery_id", metavar="ID")
def curl(delivery_id: str) -> None:
    """Print a delivery's request as a shell script, signed where it runs; it holds no URL and no secret.

    With a token that has no `manage`, the body is the payload as it is stored, whatever the endpoint's format.
    """
    with client() as server:
        text = script(server, finding.delivery_id(server, delivery_id))
    # What goes into a file or a shell is the very body; what is looked at must not steer the terminal.
    click.echo(escape(text, keep="\n") if is_terminal(sys.stdout) else text, nl=False)


def _read(server: Client, delivery_id: str) -> tuple[pb.Delivery, pb.Webhook | None, pb.Event]:
    delivery = server.webhooks.GetDelivery(pb.GetDeliveryRequest(delivery_id=delivery_id))
    event = server.events.GetEvent(pb.GetEventRequest(event_id=delivery.event_id, page_size=1)).event
    return delivery, endpoint_of(server, delivery), event


def _told(delivery: pb.Delivery, endpoint: pb.Webhook | None, event: pb.Event, found: Diagnosis) -> dict[str, Any]:
    """Return all that is told, as a program gets it."""
    to = f"{endpoint.name}, {endpoint.url}" if endpoint is not None else "an endpoint that is deleted"
    about = f" of the meeting {event.meeting_id}" if event.HasField("meeting_id") else ""
    head = f"{delivery.event_type}{about}, to {to}"
    last = delivery.attempts[-1] if delivery.attempts else None
    return {
        "delivery_id": delivery.id,
        "state": found.state,
        "what": head,
        "happened": [*found.happened, *([_last(last)] if last is not None else [])],
        "why": list(found.why),
        "todo": list(found.todo) or ["Nothing."],
        "commands": list(commands_for(delivery, endpoint, event)),
        "answer": last.response_body[:_ANSWER_LIMIT] if last is not None and found.why else "",
    }


def _last(attempt: pb.Attempt) -> str:
    outcome = attempt.error_message if attempt.HasField("error_kind") else f"answered {attempt.status_code}"
    moment = f"{attempt.started_at.ToDatetime():%Y-%m-%d %H:%M:%S}Z"
    return f"Attempt {attempt.attempt_number}, {moment}, took {attempt.duration_ms} ms: {outcome}."


def commands_for(delivery: pb.Delivery, endpoint: pb.Webhook | None, event: pb.Event) -> Iterator[str]:
    """Yield the commands that do what is to be done, in their order; what can't be sent again has none."""
    program, reason = program_name(), waits_for(delivery, endpoint)
    if reason == "earlier":
        yield f"{program} deliveries list --meeting {shlex.quote(event.meeting_id)}"
    elif reason == "circuit_open":
        # What it answered others: this one may not have been sent at all.
        yield f"{program} deliveries list --webhook {delivery.webhook_id} --limit 10"
    elif reason in _UNDONE:
        yield f"{program} webhooks {_UNDONE[reason]} {delivery.webhook_id}"
    is_over = delivery.status in ("dead", "skipped")
    if is_over and endpoint is not None and not event.HasField("payload_erased_at"):
        if not endpoint.enabled:
            yield f"{program} webhooks enable {endpoint.id}"
        yield f"{program} deliveries retry {delivery.id}"
    if delivery.attempts:
        yield f"{program} deliveries show {delivery.id}"
    if not event.HasField("payload_erased_at"):
        yield f"{program} deliveries curl {delivery.id}"


def _show(told: dict[str, Any]) -> None:
    where = screen()
    click.echo(f"{told['delivery_id']}  {cell(told['state'])}\n{cell(told['what'])}", color=where.has_colours)
    for title, name in (("What happened", "happened"), ("Why", "why"), ("What to do", "todo")):
        if told[name]:
            click.echo("\n".join([f"\n{title}", *(f"  {cell(each)}" for each in told[name])]))
    for each in told["commands"]:
        click.echo(f"    {cell(each)}")
    if told["answer"]:
        click.echo(f"\nThe last answer\n{escape(told['answer'], keep=chr(10))}")
