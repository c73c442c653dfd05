"""`webhooks filter-test`: what a filter would have done to the newest stored events."""

from __future__ import annotations

from typing import Final

import click

from noteflow_hooks.cli.support import finding
from noteflow_hooks.cli.support.helping import Command, example
from noteflow_hooks.cli.support.listing import Listing
from noteflow_hooks.cli.support.options import remote_options, table_options, webhook_option
from noteflow_hooks.cli.support.output import show_list
from noteflow_hooks.cli.support.remote import client, shown
from noteflow_hooks.domain.filters import LAST_N, LAST_N_RANGE
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

_COLUMNS: Final = ("event_id", "event_type", "created_at", "verdict", "reason")
#: Columns that a narrow terminal misses, the first ones first.
_SPARE: Final = ("created_at",)
_NONE: Final = "no events yet that filters apply to; the filter itself is a valid one"


@click.command(cls=Command, name="filter-test")
@example(
    "webhooks filter-test 'data.duration_seconds > 1800.0' --webhook CRM",
    "webhooks filter-test 'data.title.contains(\"Budget\")' --last-n 100",
)
@remote_options
@click.argument("expression", metavar="FILTER")
@webhook_option
@click.option(
    "--last-n",
    type=click.IntRange(LAST_N_RANGE[0], LAST_N_RANGE[-1]),
    default=LAST_N,
    show_default=True,
    help="How many events to ask about, the newest first.",
)
@table_options
def filter_test(expression: str, *, webhook: str | None, last_n: int, as_json: bool) -> None:
    """Say which of the newest events FILTER would let pass. With --webhook, of those that it subscribes to.

    Nothing is sent, and no endpoint is changed.
    """
    request = pb.PreviewFilterRequest(filter=expression, last_n=last_n)
    with client() as server:
        if webhook is not None:
            request.webhook_id = finding.webhook_id(server, webhook)
        answer = server.webhooks.PreviewFilter(request)
    rows = [shown(each) for each in answer.events]
    show_list(Listing(rows), columns=_COLUMNS, spare=_SPARE, as_json=as_json, empty=_NONE)
    if rows and not as_json:
        click.echo(
            f"{answer.matched} matched, {answer.filtered} filtered, {answer.errors} errors, {answer.erased} erased",
            err=True,
        )
