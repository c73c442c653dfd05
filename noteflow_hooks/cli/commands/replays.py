"""The commands of `deliveries` that send many again. A replay runs in the system, whether or not anybody watches."""

from __future__ import annotations

from typing import Final

import click

from noteflow_hooks.cli.support import finding
from noteflow_hooks.cli.support.asking import ask, yes_option
from noteflow_hooks.cli.support.delivery_filters import DeliveryFilters, delivery_filters
from noteflow_hooks.cli.support.following import follow
from noteflow_hooks.cli.support.helping import Command, example
from noteflow_hooks.cli.support.listing import listed
from noteflow_hooks.cli.support.options import (
    as_json,
    limit_option,
    remote_options,
    table_options,
)
from noteflow_hooks.cli.support.output import show_fields, show_list
from noteflow_hooks.cli.support.remote import client, connector, shown
from noteflow_hooks.domain.deliveries import FINAL_STATUSES
from noteflow_hooks.domain.replays import RATE_PER_S, ReplayState
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

#: Columns that a narrow terminal misses, the first ones first.
_SPARE: Final = ("rate_per_s", "status", "event_type", "webhook_id")
_COLUMNS: Final = ("id", "state", "matched", "sent", "rate_per_s", "webhook_id", "event_type", "status", "created_at")
_NONE: Final = "no replays yet; `noteflow-hooks deliveries replay --dry-run` counts what one would send again"
_DONE: Final = 0
_FAILED: Final = 1


@click.command(cls=Command)
@example(
    "deliveries replay --webhook CRM --since 2d --dry-run",
    "deliveries replay --webhook CRM --since 2d",
    "deliveries replay --status dead --error-kind timeout --since 2d",
)
@remote_options
@delivery_filters(
    sorted(FINAL_STATUSES),
    status_help="Only those in this state, or these; else dead and skipped.",
    by_throttled=False,
)
@click.option("--rate-per-s", type=click.FloatRange(*RATE_PER_S), help="How many a second; else 100.")
@click.option(
    "--include-filtered",
    is_flag=True,
    help="Also what endpoints' filters have held back, without asking them again.",
)
@click.option("--dry-run", is_flag=True, help="Only count what would be sent again.")
@click.option("--no-wait", is_flag=True, help="Don't wait for its end.")
@yes_option
@as_json
def replay(
    *,
    filters: DeliveryFilters,
    rate_per_s: float | None,
    include_filtered: bool,
    dry_run: bool,
    no_wait: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Send many settled deliveries again, oldest first. Ctrl-C ends the waiting, and not the replay.

    The exit status is 0 if it was begun, and, where it is waited for, done.
    """
    request = pb.ReplayDeliveriesRequest(dry_run=dry_run, rate_per_s=rate_per_s, include_filtered=include_filtered)
    with client() as server:
        filters.fill(request, server, changes=not dry_run)
        if not dry_run and not filters.is_any:
            ask("Send everything that is dead or skipped again, of all endpoints and times?", yes=yes)
        found = server.webhooks.ReplayDeliveries(request)
    waits = not (dry_run or no_wait)
    if waits:
        found = follow(connector(), found)
    show_fields(shown(found), as_json=as_json)
    return _DONE if not waits or found.state == ReplayState.DONE else _FAILED


@click.command(cls=Command)
@example("deliveries replays")
@remote_options
@limit_option
@table_options
def replays(*, limit: int, as_json: bool) -> None:
    """List replays, newest first."""
    with client() as server:
        found = listed(server.webhooks.ListReplays, pb.ListReplaysRequest(), field="replays", limit=limit)
    show_list(
        found,
        columns=_COLUMNS,
        spare=_SPARE,
        as_json=as_json,
        empty=_NONE,
    )


@click.command(cls=Command, name="replay-status")
@example("deliveries replay-status 0192f3c1")
@remote_options
@click.argument("replay_id", metavar="ID")
@as_json
def replay_status(replay_id: str, *, as_json: bool) -> None:
    """Show one replay, as far as it has come."""
    with client() as server:
        found = server.webhooks.GetReplay(pb.GetReplayRequest(replay_id=finding.replay_id(server, replay_id)))
    show_fields(shown(found), as_json=as_json)


@click.command(cls=Command, name="replay-cancel")
@example("deliveries replay-cancel 0192f3c1-8a52-7bd1-9e0b-6c1f2a3b4c5d")
@remote_options
@click.argument("replay_id", metavar="ID")
@as_json
def replay_cancel(replay_id: str, *, as_json: bool) -> None:
    """End a running replay. What it has made due already is sent."""
    with client() as server:
        whole_id = finding.replay_id(server, replay_id, changes=True)
        ended = server.webhooks.CancelReplay(pb.CancelReplayRequest(replay_id=whole_id))
    show_fields(shown(ended), as_json=as_json)
