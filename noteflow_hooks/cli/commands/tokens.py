"""`tokens`: what opens a workspace. A token is shown when it is made and never again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from noteflow_hooks.application.access import make_token, revoke_token
from noteflow_hooks.cli.support.database import unit_of_work
from noteflow_hooks.cli.support.groups import CommandGroup
from noteflow_hooks.cli.support.helping import example
from noteflow_hooks.cli.support.options import Ahead, as_json
from noteflow_hooks.cli.support.output import show_fields, show_json, show_rows
from noteflow_hooks.domain.access import Scope

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from noteflow_hooks.domain.access import ApiToken

#: In the order of their names, as they are shown.
_SCOPES: Final = sorted(each.value for each in Scope)
_COLUMNS: Final = (
    "id", "workspace_id", "name", "hint", "scopes", "expires_at", "created_at", "revoked_at", "last_used_at",
)  # fmt: skip


@click.group(cls=CommandGroup)
@example('tokens create --workspace "My team" --scope publish --expires 90d')
def tokens() -> None:
    """Make, list and revoke API tokens, in the database."""


@tokens.command()
@example('tokens create --workspace "My team" --scope publish --expires 90d')
@click.option("--workspace", "workspace_id", type=click.UUID, required=True, help="The workspace that it opens.")
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
def create(
    *, workspace_id: UUID, name: str, scopes: tuple[str, ...], expires_at: datetime | None, as_json: bool
) -> None:
    """Make a token. It is shown now and never again.

    read gets and lists; publish changes meetings and publishes events; manage changes endpoints, sends deliveries
    again and erases.
    """
    with unit_of_work() as unit:
        record, token = make_token(unit, workspace_id, name=name, scopes=map(Scope, scopes), expires_at=expires_at)
        unit.commit()
    show_fields({"token": token, **_row(record)}, as_json=as_json)


@tokens.command("list")
@example('tokens list --workspace "My team"')
@click.option("--workspace", "workspace_id", type=click.UUID, help="Only this workspace's.")
@as_json
def list_(*, workspace_id: UUID | None, as_json: bool) -> None:
    """List the tokens, oldest first. What opens the door is kept nowhere, so only hints are shown."""
    with unit_of_work() as unit:
        rows = [_row(token) for token in unit.access.list_tokens(workspace_id)]
    show_rows(rows, columns=_COLUMNS, as_json=as_json)


@tokens.command()
@example("tokens revoke 7c1f4a62-5a0e-4a6b-9a55-2f6f1f0f3c11")
@click.argument("token_id", metavar="ID", type=click.UUID)
@as_json
def revoke(token_id: UUID, *, as_json: bool) -> None:
    """Revoke a token. Servers refuse it within seconds."""
    with unit_of_work() as unit:
        revoke_token(unit, token_id)
        unit.commit()
    if as_json:
        show_json({"id": str(token_id), "revoked": True})
    else:
        click.echo(f"revoked {token_id}")


def _row(token: ApiToken) -> dict[str, Any]:
    return {
        "id": str(token.id),
        "workspace_id": str(token.workspace_id),
        "name": token.name,
        "hint": token.hint,
        "scopes": sorted(token.scopes),
        "expires_at": _iso(token.expires_at),
        "created_at": _iso(token.created_at),
        "revoked_at": _iso(token.revoked_at),
        "last_used_at": _iso(token.last_used_at),
    }


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
