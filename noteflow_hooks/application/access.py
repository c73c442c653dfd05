"""Makes workspaces, and makes and revokes tokens: for the commands, and for `up` and `demo`."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from noteflow_hooks.domain.access import ALL_SCOPES, ApiToken, Workspace, generate_token, hash_token
from noteflow_hooks.domain.payloads import check_name
from noteflow_hooks.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID

    from noteflow_hooks.domain.access import Scope
    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork


def make_workspace(unit: UnitOfWork, name: str) -> Workspace:
    """Store a workspace; raise InvalidInputError for a name that can't be."""
    return unit.access.create_workspace(Workspace(id=uuid4(), name=check_name("name", name)))


def make_token(
    unit: UnitOfWork,
    workspace_id: UUID,
    *,
    name: str,
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
    return unit.access.create_token(record), token


def revoke_token(unit: UnitOfWork, token_id: UUID) -> None:
    """Revoke a token, once; raise NotFoundError where there is none that is not revoked."""
    if not unit.access.revoke_token(token_id):
        raise NotFoundError(f"there is no token {token_id} that is not revoked")
