"""`audit`: who changed what in the workspace, and what the system has changed by itself."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import click

from noteflow_hooks.cli.support import finding
from noteflow_hooks.cli.support.groups import CommandGroup
from noteflow_hooks.cli.support.helping import example
from noteflow_hooks.cli.support.listing import listed
from noteflow_hooks.cli.support.options import Filled, limit_option, period_options, remote_options, table_options
from noteflow_hooks.cli.support.output import show_list
from noteflow_hooks.cli.support.remote import client, timestamp
from noteflow_hooks.domain.audit.entries import Action, ActorKind, TargetKind
from noteflow_hooks.printable import cell
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

#: Columns that a narrow terminal misses, the first ones first.
_SPARE: Final = ("request_id", "target_id")
_COLUMNS: Final = ("at", "who", "action", "target_kind", "target_id", "change", "request_id")
_NONE: Final = "no entries yet; whatever a token with manage changes is put on record"
_NONE_OF_THESE: Final = "no such entries"


@click.group(cls=CommandGroup)
@example("audit list --since 7d")
def audit() -> None:
    """Look at who changed what. It takes a token with manage."""


@audit.command("list")
@example("audit list --webhook CRM", "audit list --action webhook.deleted --since 30d")
@remote_options
@click.option("--webhook", metavar="NAME|ID", help="Only what was done to this endpoint.")
@click.option("--target", "target_id", type=Filled(), metavar="ID", help="Only what was done to what has this id.")
@click.option(
    "--target-kind", type=click.Choice([each.value for each in TargetKind]), help="Only what was done to such."
)
@click.option("--action", type=click.Choice([each.value for each in Action]), metavar="ACTION", help="Only this.")
@click.option("--actor-kind", type=click.Choice([each.value for each in ActorKind]), help="Only what such have done.")
@click.option("--actor", type=Filled(), metavar="ID|NAME", help="Only what this token, user or part has done.")
@period_options
@limit_option
@table_options
def list_(
    *,
    webhook: str | None,
    target_id: str | None,
    target_kind: str | None,
    action: str | None,
    actor_kind: str | None,
    actor: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    as_json: bool,
) -> None:
    """List the audit trail, newest first. With --json, old and new are objects by field."""
    if webhook is not None and target_id is not None:
        raise click.UsageError("--webhook and --target both say what it was done to; give one")
    request = pb.ListAuditEntriesRequest(
        actor_kind=actor_kind,
        actor=actor,
        action=action,
        target_kind=target_kind,
        target_id=target_id,
        created_after=timestamp(since),
        created_before=timestamp(until),
    )
    with client() as server:
        if webhook is not None:
            request.target_id = finding.webhook_id(server, webhook)
        found = listed(server.audit.ListAuditEntries, request, field="audit_entries", limit=limit)
    rows = [_parsed(row) for row in found.rows]
    is_filtered = any((webhook, target_id, target_kind, action, actor_kind, actor, since, until))
    show_list(
        replace(found, rows=rows if as_json else [{**row, "who": _who(row), "change": _change(row)} for row in rows]),
        columns=_COLUMNS,
        spare=_SPARE,
        as_json=as_json,
        empty=_NONE_OF_THESE if is_filtered else _NONE,
    )


def _parsed(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: json.loads(value) if name in ("old", "new") else value for name, value in row.items()}


def _who(row: Mapping[str, Any]) -> str:
    """Return a token by its hint, and others by their names."""
    is_token = row["actor_kind"] == ActorKind.TOKEN
    return f"token …{row['actor_hint']}" if is_token and row["actor_hint"] else f"{row['actor_kind']} {row['actor']}"


def _change(row: Mapping[str, Any]) -> str:
    """Return in a line what differs; ``before → after`` where a field was there before and is there after."""
    old, new = row.get("old") or {}, row.get("new") or {}
    if not new:
        return ""
    return ", ".join(
        f"{name}: {cell(old[name])} → {cell(value)}" if name in old else f"{name}: {cell(value)}"
        for name, value in new.items()
    )
