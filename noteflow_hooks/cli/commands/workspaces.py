"""`workspaces`: the tenants. They are made in the database: no token is above them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from noteflow_hooks.application.access import make_workspace
from noteflow_hooks.cli.support.database import unit_of_work
from noteflow_hooks.cli.support.groups import CommandGroup
from noteflow_hooks.cli.support.helping import example
from noteflow_hooks.cli.support.listing import Listing
from noteflow_hooks.cli.support.options import as_json, table_options
from noteflow_hooks.cli.support.output import iso, show_fields, show_list
from noteflow_hooks.local.operator import operator

if TYPE_CHECKING:
    from noteflow_hooks.domain.access import Workspace

_NONE: Final = "no workspaces yet; `noteflow-hooks workspaces create NAME` makes one"
_COLUMNS: Final = ("id", "name", "created_at")


@click.group(cls=CommandGroup)
@example('workspaces create "My team"')
def workspaces() -> None:
    """Make and list workspaces, in the database."""


@workspaces.command()
@example('workspaces create "My team"')
@click.argument("name")
@as_json
def create(name: str, *, as_json: bool) -> None:
    """Make a workspace called NAME."""
    with unit_of_work() as unit:
        workspace = make_workspace(unit, name, by=operator())
        unit.commit()
    show_fields(_row(workspace), as_json=as_json)


@workspaces.command("list")
@example("workspaces list")
@table_options
def list_(*, as_json: bool) -> None:
    """List the workspaces, oldest first."""
    with unit_of_work() as unit:
        rows = [_row(workspace) for workspace in unit.access.list_workspaces()]
    show_list(Listing(rows), columns=_COLUMNS, as_json=as_json, empty=_NONE)


def _row(workspace: Workspace) -> dict[str, Any]:
    return {"id": str(workspace.id), "name": workspace.name, "created_at": iso(workspace.created_at)}
