"""Workspaces and tokens in PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import and_, func, insert, or_, select, text, update
from typing_extensions import override

from noteflow_hooks.domain.access import USE_NOTED_EVERY
from noteflow_hooks.domain.ports.repositories import AccessRepository
from noteflow_hooks.errors import NotFoundError
from noteflow_hooks.persistence.sql.converters import token_to_domain, token_to_orm_kwargs, workspace_to_domain
from noteflow_hooks.persistence.sql.orm import ApiTokenRow, WorkspaceRow

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from uuid import UUID

    from sqlalchemy.orm import Session

    from noteflow_hooks.domain.access import ApiToken, Workspace

#: Rows are skipped that others hold; this is for who has locked the whole table.
_NO_WAITING: Final = text("SELECT set_config('lock_timeout', '100ms', true)")
#: By the database's clock: those of the servers and commands may differ from it, and from each other.
# rule of domain.access.ApiToken.live_at
_LIVE: Final = and_(
    ApiTokenRow.revoked_at.is_(None), or_(ApiTokenRow.expires_at.is_(None), ApiTokenRow.expires_at > func.now())
)


class SqlAlchemyAccessRepository(AccessRepository):
    """Workspaces and tokens in PostgreSQL."""

    def __init__(self, session: Session) -> None:
        """Work in that session."""
        self._session = session

    @override
    def create_workspace(self, workspace: Workspace) -> Workspace:
        statement = insert(WorkspaceRow).values(id=workspace.id, name=workspace.name).returning(WorkspaceRow)
        return workspace_to_domain(self._session.scalars(statement).one())

    @override
    def list_workspaces(self) -> Sequence[Workspace]:
        rows = self._session.scalars(select(WorkspaceRow).order_by(WorkspaceRow.created_at, WorkspaceRow.id))
        return [workspace_to_domain(row) for row in rows]

    @override
    def create_token(self, token: ApiToken) -> ApiToken:
        if self._session.get(WorkspaceRow, token.workspace_id) is None:
            raise NotFoundError(f"workspace_id: no workspace {token.workspace_id}")
        statement = insert(ApiTokenRow).values(**token_to_orm_kwargs(token)).returning(ApiTokenRow)
        return token_to_domain(self._session.scalars(statement).one())

    @override
    def list_tokens(self, workspace_id: UUID | None = None) -> Sequence[ApiToken]:
        statement = select(ApiTokenRow).order_by(ApiTokenRow.created_at, ApiTokenRow.id)
        if workspace_id is not None:
            statement = statement.where(ApiTokenRow.workspace_id == workspace_id)
        return [token_to_domain(row) for row in self._session.scalars(statement)]

    @override
    def revoke_token(self, token_id: UUID) -> bool:
        statement = (
            update(ApiTokenRow)
            .where(ApiTokenRow.id == token_id, ApiTokenRow.revoked_at.is_(None))
            .values(revoked_at=func.now())
            .returning(ApiTokenRow.id)
        )
        return self._session.scalars(statement).one_or_none() is not None

    @override
    def find_token(self, token_hash: bytes) -> ApiToken | None:
        statement = select(ApiTokenRow).where(ApiTokenRow.token_hash == token_hash, _LIVE)
        row = self._session.scalars(statement.execution_options(populate_existing=True)).one_or_none()
        return None if row is None else token_to_domain(row)

    @override
    def live_tokens(self, token_ids: Collection[UUID]) -> Collection[UUID]:
        return set(self._session.scalars(select(ApiTokenRow.id).where(ApiTokenRow.id.in_(token_ids), _LIVE)))

    @override
    def note_use(self, token_id: UUID) -> bool:
        last = ApiTokenRow.last_used_at
        # rule of domain.access.ApiToken.use_is_due
        due = select(ApiTokenRow.id).where(
            ApiTokenRow.id == token_id, or_(last.is_(None), last <= func.now() - USE_NOTED_EVERY)
        )
        self._session.execute(_NO_WAITING)
        # Many servers find the same token due at the same moment: one writes, and the others don't queue up behind it.
        free = due.with_for_update(key_share=True, skip_locked=True).scalar_subquery()
        statement = update(ApiTokenRow).where(ApiTokenRow.id == free).values(last_used_at=func.now())
        return self._session.scalars(statement.returning(ApiTokenRow.id)).one_or_none() is not None
