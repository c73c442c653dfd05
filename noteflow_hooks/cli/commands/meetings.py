"""`meetings`: the workspace's meetings, to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from noteflow_hooks.cli.support.groups import CommandGroup
from noteflow_hooks.cli.support.helping import example
from noteflow_hooks.cli.support.listing import listed
from noteflow_hooks.cli.support.options import Filled, limit_option, period_options, remote_options, table_options
from noteflow_hooks.cli.support.output import show_list
from noteflow_hooks.cli.support.remote import client, timestamp
from noteflow_hooks.domain.meetings import MeetingState
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

if TYPE_CHECKING:
    from datetime import datetime

#: Columns that a narrow terminal misses, the first ones first.
_SPARE: Final = ("segment_count", "has_summary", "stopped_at")
_COLUMNS: Final = (
    "id", "title", "state", "created_at", "stopped_at", "duration_seconds", "segment_count", "has_summary",
)  # fmt: skip
_NONE: Final = "no meetings yet"
_NONE_OF_THESE: Final = "no meetings like that; `noteflow-hooks meetings list` shows all"


@click.group(cls=CommandGroup)
@example("meetings list --text weekly")
@remote_options
def meetings() -> None:
    """Look at the meetings."""


@meetings.command("list")
@example("meetings list --state active", "meetings list --text weekly --since 7d")
@remote_options
@click.option("--state", type=click.Choice([each.value for each in MeetingState]), help="Only those in this state.")
@click.option("--text", type=Filled(), help="Only those with this text in their title.")
@period_options
@limit_option
@table_options
def list_(
    *,
    state: str | None,
    text: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    as_json: bool,
) -> None:
    """List meetings, newest first."""
    request = pb.ListMeetingsRequest(
        state=state, text=text, created_after=timestamp(since), created_before=timestamp(until)
    )
    with client() as server:
        found = listed(server.meetings.ListMeetings, request, field="meetings", limit=limit)
    is_filtered = any((state, text, since, until))
    show_list(found, columns=_COLUMNS, spare=_SPARE, as_json=as_json, empty=_NONE_OF_THESE if is_filtered else _NONE)
