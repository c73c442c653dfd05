"""`tokens`: what opens a workspace. A token is shown when it is made and never again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import click

from noteflow_hooks.application.access import make_token, revoke_token
from noteflow_hooks.cli.support import finding
from noteflow_hooks.cli.support.database import find_workspace, unit_of_work
from noteflow_hooks.cli.support.groups import CommandGroup
from noteflow_hooks.cli.support.helping import example
from noteflow_hooks.cli.support.listing import Listing
from noteflow_hooks.cli.support.options import Ahead, as_json, table_options
from noteflow_hooks.cli.support.output import iso, show_fields, show_json, show_list
from noteflow_hooks.domain.access import Scope
from noteflow_hooks.local.operator import operator

if TYPE_CHECKING:
    from datetime import datetime

    from noteflow_hooks.domain.access import ApiToken
    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork

#: In the order of their names, as they are shown.
#: Columns that a narrow terminal misses, the first ones first.
_SPARE: Final = ("last_used_at", "hint", "created_at", "workspace_id")
_SCOPES: Final = sorted(each.value for each in Scope)
_NONE: Final = "no tokens yet; `noteflow-hooks tokens create --workspace NAME` makes one"
_COLUMNS: Final = (
    "id", "workspace_id", "name", "hint", "scopes", "expires_at", "created_at", "revoked_at", "last_used_at",
)  # fmt: skip


@click.group(cls=CommandGroup)
@example('tokens create --workspace "My team" --scope publish --expires 90d')
def tokens() -> None:
    """Make, list and revoke API tokens, in the database."""


@tokens.command()
@example('tokens create --workspace "My team" --scope publish --expires 90d')
@click.option("--workspace", metavar="NAME|ID", required=True, help="The workspace that it opens.")
@click.option("--name", default="token", show_default=True, help="What to call it.")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(_SCOPES),
    multiple=True,
    default=_SCOPES,
    show_default="all three",
    help="What it may do; can be given several times. None includes another.",
)
@click.option(
    "--expires", "expires_at", type=Ahead(), help="When it ends: ISO 8601, or 90d from now. Without it, never."
)
@as_json
def create(*, workspace: str, name: str, scopes: tuple[str, ...], expires_at: datetime | None, as_json: bool) -> None:
    """Make a token. It is shown now and never again.

    read gets and lists; publish changes meetings and publishes events; manage changes endpoints, sends deliveries
    again, erases, and lists who has done so.
    """
    with unit_of_work() as unit:
        workspace_id = find_workspace(unit, workspace, changes=True)
        record, token = make_token(
            unit, workspace_id, name=name, by=operator(), scopes=map(Scope, scopes), expires_at=expires_at
        )
        unit.commit()
    show_fields({"token": token, **_row(record)}, as_json=as_json)


@tokens.command("list")
@example('tokens list --workspace "My team"')
@click.option("--workspace", metavar="NAME|ID", help="Only this workspace's.")
@table_options
def list_(*, workspace: str | None, as_json: bool) -> None:
    """List the tokens, oldest first. What opens the door is kept nowhere, so only hints are shown."""
    with unit_of_work() as unit:
        workspace_id = None if workspace is None else find_workspace(unit, workspace)
        rows = [_row(token) for token in unit.access.list_tokens(workspace_id)]
    show_list(
        Listing(rows),
        columns=_COLUMNS,
        spare=_SPARE,
        as_json=as_json,
        empty=_NONE,
    )


@tokens.command()
@example("tokens revoke ci")
@click.argument("token", metavar="NAME|ID")
@as_json
def revoke(token: str, *, as_json: bool) -> None:
    """Revoke a token. Servers refuse it within seconds."""
    with unit_of_work() as unit:
        token_id = _live_token(unit, token)
        revoke_token(unit, token_id, by=operator())
        unit.commit()
    if as_json:
        show_json({"id": str(token_id), "revoked": True})
    else:
        click.echo(f"revoked {token_id}")


def _live_token(unit: UnitOfWork, given: str) -> UUID:
    """Return the id of a token of that name or id, of those that are not revoked."""
    if finding.is_whole(given):
        return UUID(given)
    rows = [_row(token) for token in unit.access.list_tokens() if token.revoked_at is None]
    return UUID(finding.chosen(rows, given, what="token", shown=("id", "name", "workspace_id", "hint"), changes=True))


def _row(token: ApiToken) -> dict[str, Any]:
    return {
        "id": str(token.id),
        "workspace_id": str(token.workspace_id),
        "name": token.name,
        "hint": token.hint,
        "scopes": sorted(token.scopes),
        "expires_at": iso(token.expires_at),
        "created_at": iso(token.created_at),
        "revoked_at": iso(token.revoked_at),
        "last_used_at": iso(token.last_used_at),
    }
