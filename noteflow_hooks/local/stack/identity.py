"""Who may call the system's server: a workspace and a token, kept over restarts while the database knows them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

from noteflow_hooks import bootstrap
from noteflow_hooks.application.access import make_token, make_workspace
from noteflow_hooks.domain.access import hash_token
from noteflow_hooks.local.operator import operator

if TYPE_CHECKING:
    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork
    from noteflow_hooks.settings import Settings


@dataclass(frozen=True, slots=True)
class Identity:
    """A workspace and a token for it."""

    workspace_id: str
    token: str = field(repr=False)


def ensure_identity(settings: Settings, kept: Identity | None) -> Identity:
    """Return the kept identity if its token is still valid, else a new one, in the same workspace if that exists."""
    store = bootstrap.store(settings)
    try:
        with store.units() as unit:
            identity = _kept(unit, kept) or _new(unit, kept)
            unit.commit()
            return identity
    finally:
        store.close()


def _kept(unit: UnitOfWork, kept: Identity | None) -> Identity | None:
    record = None if kept is None else unit.access.find_token(hash_token(kept.token))
    return kept if kept is not None and record is not None and str(record.workspace_id) == kept.workspace_id else None


def _new(unit: UnitOfWork, kept: Identity | None) -> Identity:
    known = {str(workspace.id) for workspace in unit.access.list_workspaces()}
    if kept is not None and kept.workspace_id in known:
        workspace_id = UUID(kept.workspace_id)
    else:
        workspace_id = make_workspace(unit, "up", by=operator()).id
    _, token = make_token(unit, workspace_id, name="up", by=operator())
    return Identity(str(workspace_id), token)
