"""Makes workspaces, and makes and revokes tokens: for the commands, and for `up` and `demo`. And says whose one is."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from noteflow_hooks.domain.access import ALL_SCOPES, ApiToken, Workspace, generate_token, hash_token
from noteflow_hooks.domain.audit.entries import Action, TargetKind, entry_of
from noteflow_hooks.domain.audit.telling import tell_token
from noteflow_hooks.domain.payloads import check_name
from noteflow_hooks.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID

    from noteflow_hooks.domain.access import Scope
    from noteflow_hooks.domain.audit.entries import Actor
    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork


def make_workspace(unit: UnitOfWork, name: str, *, by: Actor) -> Workspace:
    """Store a workspace; raise InvalidInputError for a name that can't be."""
    stored = unit.access.create_workspace(Workspace(id=uuid4(), name=check_name("name", name)))
    target = (TargetKind.WORKSPACE, stored.id)
    unit.audit.add(entry_of(by, Action.WORKSPACE_CREATED, stored.id, target, new={"name": stored.name}))
    return stored


def read_workspace(unit: UnitOfWork, workspace_id: UUID) -> Workspace:
    """Return one workspace, or raise NotFoundError: it may have been removed while its token was still remembered."""
    workspace = unit.access.get_workspace(workspace_id)
    if workspace is None:
        raise NotFoundError(f"workspace_id: no workspace {workspace_id}")
    return workspace


def make_token(
    unit: UnitOfWork,
    workspace_id: UUID,
    *,
    name: str,
    by: Actor,
    scopes: Iterable[Scope] = ALL_SCOPES,
    expires_at: datetime | None = None,
) -> tuple[ApiToken, str]:
    """Store a token's record and return it with the token itself, which is nowhere else."""
    token = generate_token()
    record = ApiToken(
        id=uuid4(),
        workspace_id=workspace_id,
        name=check_name("name", name),
        token_hash=hash_token(token),
        hint=token[-4:],
        scopes=frozenset(scopes),
        expires_at=expires_at,
    )
    stored = unit.access.create_token(record)
    target = (TargetKind.TOKEN, stored.id)
    unit.audit.add(entry_of(by, Action.TOKEN_CREATED, workspace_id, target, new=tell_token(stored)))
    return stored, token


def revoke_token(unit: UnitOfWork, token_id: UUID, *, by: Actor) -> None:
    """Revoke a token, once; raise NotFoundError where there is none that is not revoked."""
    revoked = unit.access.revoke_token(token_id)
    if revoked is None:
        raise NotFoundError(f"there is no token {token_id} that is not revoked")
    target = (TargetKind.TOKEN, token_id)
    unit.audit.add(entry_of(by, Action.TOKEN_REVOKED, revoked.workspace_id, target, old=tell_token(revoked)))
