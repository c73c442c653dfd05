"""`deliveries`: what was sent to the workspace's endpoints, and sending it again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import click

from noteflow_hooks.cli.commands.diagnosing import curl, diagnose
from noteflow_hooks.cli.commands.replays import replay, replay_cancel, replay_status, replays
from noteflow_hooks.cli.support import finding
from noteflow_hooks.cli.support.delivery_filters import DeliveryFilters, delivery_filters
from noteflow_hooks.cli.support.groups import CommandGroup
from noteflow_hooks.cli.support.helping import example
from noteflow_hooks.cli.support.listing import DELIVERY_DETAILS, listed
from noteflow_hooks.cli.support.options import (
    FiniteRange,
    as_json,
    event_type_option,
    limit_option,
    remote_options,
    table_options,
    webhook_option,
)
from noteflow_hooks.cli.support.output import pretty_json, show_fields, show_json, show_list, show_rows
from noteflow_hooks.cli.support.remote import client, connector, shown
from noteflow_hooks.cli.support.tailing import tail_lines
from noteflow_hooks.cli.support.watching import watch_lines
from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.printable import escape
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

if TYPE_CHECKING:
    from noteflow_hooks.cli.support.listing import Listing
    from noteflow_hooks.client import Client

COLUMNS: Final = (
    "id", "webhook", "event_type", "status", "attempt_count", "status_code", "duration_ms", "created_at", "reason",
)  # fmt: skip
#: Columns that a narrow terminal misses, the first ones first.
_UNDELIVERED_SPARE: Final = ("event_id", "attempt_count", "created_at")
SPARE: Final = ("duration_ms", "status_code", "attempt_count", "created_at")
_UNDELIVERED_COLUMNS: Final = (
    "event_id", "event_type", "delivery_id", "webhook", "status", "attempt_count", "created_at", "reason",
)  # fmt: skip
_NONE: Final = "no deliveries yet; `noteflow-hooks webhooks test NAME` sends one to an endpoint"
_NONE_OF_THESE: Final = "no deliveries like that; `noteflow-hooks deliveries list` shows all"
_ALL_DELIVERED: Final = "nothing is undelivered; `noteflow-hooks deliveries list` shows what was sent"
_ERASED: Final = "erased"
_REDELIVERY_COLUMNS: Final = ("requested_at", "previous_status", "after_attempt", "replay_id")
#: Where an attempt's time went.
_TIMES: Final = ("dns_ms", "connect_ms", "tls_ms", "wait_ms", "read_ms")
_ATTEMPT_COLUMNS: Final = (
    "attempt_number", "started_at", "duration_ms", "redialled", "status_code", "error_kind", "error_message",
)  # fmt: skip


@click.group(cls=CommandGroup)
@example("deliveries list --status dead --since 2h")
@remote_options
def deliveries() -> None:
    """Look at what was delivered, and send it again."""


for command in (diagnose, curl, replay, replays, replay_status, replay_cancel):
    deliveries.add_command(command)


@deliveries.command("list")
@example(
    "deliveries list --webhook CRM --status dead --since 2h",
    "deliveries list --meeting m-1 --status dead --status skipped",
    "deliveries list --error-kind timeout",
)
@remote_options
@delivery_filters(DeliveryStatus)
@limit_option
@table_options
def list_(*, filters: DeliveryFilters, limit: int, as_json: bool) -> None:
    """List deliveries, newest first."""
    request = pb.ListDeliveriesRequest()
    with client() as server:
        filters.fill(request, server)
        found = listed(server.webhooks.ListDeliveries, request, field="deliveries", limit=limit)
        found = found if as_json else _named(found, server)
    show_list(
        found,
        columns=COLUMNS,
        spare=SPARE,
        as_json=as_json,
        empty=_NONE_OF_THESE if filters.is_any else _NONE,
    )


@deliveries.command()
@example("deliveries undelivered --event-type meeting.completed")
@remote_options
@webhook_option
@event_type_option
@limit_option
@table_options
def undelivered(*, webhook: str | None, event_type: str | None, limit: int, as_json: bool) -> None:
    """List what was accepted and not delivered, and why, newest first."""
    request = pb.ListUndeliveredRequest(event_type=event_type)
    with client() as server:
        if webhook is not None:
            request.webhook_id = finding.webhook_id(server, webhook)
        found = listed(server.webhooks.ListUndelivered, request, field="undelivered", limit=limit)
        found = found if as_json else _named(found, server)
    show_list(
        found,
        columns=_UNDELIVERED_COLUMNS,
        spare=_UNDELIVERED_SPARE,
        as_json=as_json,
        empty=_ALL_DELIVERED,
    )


@deliveries.command()
@example("deliveries show 0192f3c1")
@remote_options
@click.argument("delivery_id", metavar="ID")
@as_json
def show(delivery_id: str, *, as_json: bool) -> None:
    """Show one delivery, with its payload, its attempts, and when it was sent again."""
    with client() as server:
        whole_id = finding.delivery_id(server, delivery_id)
        delivery = shown(server.webhooks.GetDelivery(pb.GetDeliveryRequest(delivery_id=whole_id)))
    if as_json:
        show_json(delivery)
    else:
        _show(delivery)


@deliveries.command()
@example("deliveries retry 0192f3c1-8a52-7bd1-9e0b-6c1f2a3b4c5d")
@remote_options
@click.argument("delivery_id", metavar="ID")
@as_json
def retry(delivery_id: str, *, as_json: bool) -> None:
    """Send a settled delivery again. The payload stays; the budget of attempts is a fresh one."""
    with client() as server:
        whole_id = finding.delivery_id(server, delivery_id, changes=True)
        delivery = server.webhooks.RedeliverDelivery(pb.RedeliverDeliveryRequest(delivery_id=whole_id))
    show_fields(shown(delivery), as_json=as_json, leave_out=DELIVERY_DETAILS)


@deliveries.command()
@example("deliveries skip 0192f3c1-8a52-7bd1-9e0b-6c1f2a3b4c5d")
@remote_options
@click.argument("delivery_id", metavar="ID")
@as_json
def skip(delivery_id: str, *, as_json: bool) -> None:
    """Give up a delivery that waits or is dead, so that what waits for it goes on. It can be sent again later."""
    with client() as server:
        whole_id = finding.delivery_id(server, delivery_id, changes=True)
        delivery = server.webhooks.SkipDelivery(pb.SkipDeliveryRequest(delivery_id=whole_id))
    show_fields(shown(delivery), as_json=as_json, leave_out=DELIVERY_DETAILS)


@deliveries.command()
@example("deliveries tail --webhook CRM", "deliveries tail --status dead --error-kind tls")
@remote_options
@delivery_filters(DeliveryStatus)
@click.option(
    "--every-s",
    type=FiniteRange(0.1, 3600),
    default=1.0,
    show_default=True,
    help="How often to try a server that is away, and to look where a former release's can't tell by itself.",
)
@as_json
def tail(*, filters: DeliveryFilters, every_s: float, as_json: bool) -> None:
    """Print each change until Ctrl-C; a server that goes away is waited for. With --json, each line is an object."""
    watched, request = pb.WatchDeliveriesRequest(), pb.ListDeliveriesRequest()
    # Where no name has to be looked up, nothing is asked of the server here.
    with client() as server:
        filters.fill(watched, server)
    if not watch_lines(connector(), watched, every_s=every_s, as_json=as_json):
        with client() as server:
            filters.fill(request, server)
        tail_lines(connector(), request, every_s=every_s, as_json=as_json)


def _named(found: Listing, server: Client) -> Listing:
    """Return the list with the names of endpoints."""
    return replace(found, rows=finding.with_names(found.rows, server))


def _show(delivery: dict[str, Any]) -> None:
    show_fields(delivery, as_json=False, leave_out=["payload", *DELIVERY_DETAILS])
    # A payload is never empty: one that is was erased on request, or with time.
    click.echo(f"\npayload\n{pretty_json(delivery.get('payload') or _ERASED)}\n")
    attempts = delivery["attempts"]
    timed = tuple(name for name in _TIMES if any(name in each for each in attempts))
    in_batches = ("batch_id",) if any(each.get("batch_id") for each in attempts) else ()
    columns = (*_ATTEMPT_COLUMNS, *timed, *in_batches)
    show_rows(attempts, columns=columns, spare=(*timed, "duration_ms"), as_json=False)
    if attempts:
        _show_headers(attempts[-1])
    if delivery["redeliveries"]:
        click.echo("\nsent again")
        show_rows(delivery["redeliveries"], columns=_REDELIVERY_COLUMNS, as_json=False)


def _show_headers(attempt: dict[str, Any]) -> None:
    """Print what the last attempt has sent and heard; all attempts' are in --json."""
    for field, title in (("request_headers", "sent"), ("response_headers", "answered")):
        if attempt.get(field):
            click.echo(f"\nheaders {title}, attempt {attempt['attempt_number']}")
            for each in attempt[field]:
                click.echo(f"  {escape(each['name'])}: {escape(each['value'])}")
