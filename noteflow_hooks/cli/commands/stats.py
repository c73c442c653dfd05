"""`stats`: how much there was, what became of it and how long it took, and how it stands now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from noteflow_hooks.cli.support import finding
from noteflow_hooks.cli.support.helping import Command, example
from noteflow_hooks.cli.support.options import Filled, Length, Moment, remote_options, table_options
from noteflow_hooks.cli.support.output import show_fields, show_json, show_rows
from noteflow_hooks.cli.support.remote import client, shown, timestamp
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

_COLUMNS: Final = ("events", "attempts", "succeeded", "failed", "dead", "skipped", "p50_ms", "p95_ms", "latency_p95_ms")
_SPARE: Final = ("latency_p95_ms", "skipped", "p50_ms", "events")


@click.command(cls=Command)
@example("stats", "stats --since 7d --bucket 1d", "stats --webhook CRM --since 2h --bucket 10m --json")
@remote_options
@click.option("--since", type=Moment(), help="What happened at this time or later: ISO 8601, or 2h ago; 24 hours.")
@click.option("--until", type=Moment(), help="What happened before this time; now.")
@click.option("--bucket", type=Length(), help="In steps of this length: 1m, 30m, 1h, 1d.")
@click.option("--webhook", metavar="NAME|ID", help="Only what has to do with this endpoint.")
@click.option("--type", "event_type", type=Filled(), metavar="TYPE", help="Only what has to do with such events.")
@click.option("--outcome", type=Filled(), metavar="OUTCOME", help="Only attempts with it: succeeded, timeout, status …")
@table_options
def stats(
    *,
    since: datetime | None,
    until: datetime | None,
    bucket: timedelta | None,
    webhook: str | None,
    event_type: str | None,
    outcome: str | None,
    as_json: bool,
) -> None:
    """Show how much there was, what became of it, how long it took, and how it stands now."""
    request = pb.GetStatsRequest(
        to=timestamp(until), event_type=event_type, outcome=outcome, with_event_types=True, with_now=True
    )
    if since is not None:
        # A word of Python's, so that it is no name there.
        getattr(request, "from").FromDatetime(since)
    if bucket is not None:
        request.bucket.FromTimedelta(bucket)
    with client() as server:
        if webhook is not None:
            request.webhook_id = finding.webhook_id(server, webhook)
        found = shown(server.webhooks.GetStats(request))
    if as_json:
        show_json(found)
    else:
        _show(found, steps=bucket is not None)


def _show(found: Mapping[str, Any], *, steps: bool) -> None:
    span = {"from": found["from"], "to": found["to"], "as_of": found.get("as_of", "nothing is counted yet")}
    total = found["total"]
    kinds = {name: _words(total[name]) for name in ("failures", "dead", "skipped") if total[name]}
    show_fields({**span, **_row(total), **kinds}, as_json=False)
    click.echo("\nnow")
    now = {name: _words(value) if isinstance(value, dict) else value for name, value in found["now"].items()}
    show_fields(now, as_json=False)
    if found["event_types"]:
        click.echo()
        rows = [{"event_type": each["event_type"], **_row(each["counts"])} for each in found["event_types"]]
        show_rows(rows, columns=("event_type", *_COLUMNS), spare=_SPARE, as_json=False)
    if steps:
        click.echo()
        rows = [{"at": each["at"], **_row(each["counts"])} for each in found["buckets"]]
        show_rows(rows, columns=("at", *_COLUMNS), spare=_SPARE, as_json=False)


def _row(counts: Mapping[str, Any]) -> dict[str, object]:
    """Return what people want of the counts, in a line's cells."""
    return {
        "events": counts["events"],
        "attempts": counts["attempts"],
        "succeeded": counts["succeeded"],
        "failed": sum(counts["failures"].values()),
        "dead": sum(counts["dead"].values()),
        "skipped": sum(counts["skipped"].values()),
        "p50_ms": _rounded(counts.get("duration_p50_ms")),
        "p95_ms": _rounded(counts.get("duration_p95_ms")),
        "latency_p95_ms": _rounded(counts.get("latency_p95_ms")),
    }


def _rounded(ms: float | None) -> float | None:
    return None if ms is None else round(ms, 1)


def _words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items(), key=lambda each: -each[1])) or "0"
