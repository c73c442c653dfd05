"""Workspaces and tokens in PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, insert, select, update

from noteflow_hooks.errors import NotFoundError
from noteflow_hooks.persistence.converters import token_to_domain, workspace_to_domain
from noteflow_hooks.persistence.orm import ApiTokenRow, WorkspaceRow

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy.orm import Session

    from noteflow_hooks.domain.access import ApiToken, Workspace


class SqlAlchemyAccessRepository:
    """Workspaces and tokens; see :class:`noteflow_hooks.domain.ports.AccessRepository`."""

    def __init__(self, session: Session) -> None:
        """Work in that session."""
        self._session = session

    def create_workspace(self, workspace: Workspace) -> Workspace:
        """Store a new workspace."""
        statement = insert(WorkspaceRow).values(id=workspace.id, name=workspace.name).returning(WorkspaceRow)
        return workspace_to_domain(self._session.scalars(statement).one())

    def list_workspaces(self) -> Sequence[Workspace]:
        """Return all workspaces, oldest first."""
        rows = self._session.scalars(select(WorkspaceRow).order_by(WorkspaceRow.created_at, WorkspaceRow.id))
        return [workspace_to_domain(row) for row in rows]

    def create_token(self, token: ApiToken) -> ApiToken:
        """Store a new token's record; raise NotFoundError where its workspace is not."""
        if self._session.get(WorkspaceRow, token.workspace_id) is None:
            raise NotFoundError(f"workspace_id: no workspace {token.workspace_id}")
        columns = {"id": token.id, "workspace_id": token.workspace_id, "name": token.name, "hint": token.hint}
        statement = insert(ApiTokenRow).values(**columns, token_hash=token.token_hash).returning(ApiTokenRow)
        return token_to_domain(self._session.scalars(statement).one())

    def list_tokens(self, workspace_id: UUID | None = None) -> Sequence[ApiToken]:
        """Return the tokens' records, of one workspace or all, oldest first."""
        statement = select(ApiTokenRow).order_by(ApiTokenRow.created_at, ApiTokenRow.id)
        if workspace_id is not None:
            statement = statement.where(ApiTokenRow.workspace_id == workspace_id)
        return [token_to_domain(row) for row in self._session.scalars(statement)]

    def revoke_token(self, token_id: UUID) -> bool:
        """Revoke it, once: False where there is none or it was revoked."""
        statement = (
            update(ApiTokenRow)
            .where(ApiTokenRow.id == token_id, ApiTokenRow.revoked_at.is_(None))
            .values(revoked_at=func.now())
            .returning(ApiTokenRow.id)
        )
        return self._session.scalars(statement).one_or_none() is not None

    def find_token(self, token_hash: bytes) -> ApiToken | None:
        """Return the record of a token that is not revoked, or None."""
        statement = select(ApiTokenRow).where(ApiTokenRow.token_hash == token_hash, ApiTokenRow.revoked_at.is_(None))
        row = self._session.scalars(statement.execution_options(populate_existing=True)).one_or_none()
        return None if row is None else token_to_domain(row)
