"""Workspaces and tokens in PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import func, insert, select, update
from typing_extensions import override

from noteflow_hooks.domain.access import USE_NOTED_EVERY, ApiToken
from noteflow_hooks.domain.ports.repositories import AccessRepository
from noteflow_hooks.errors import NotFoundError
from noteflow_hooks.persistence.sql.converters import token_to_domain, token_to_orm_kwargs, workspace_to_domain
from noteflow_hooks.persistence.sql.orm import ApiTokenRow, WorkspaceRow
from noteflow_hooks.persistence.sql.wire import Statement

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from uuid import UUID

    from noteflow_hooks.domain.access import Workspace
    from noteflow_hooks.persistence.sql.work import Work

#: Rows are skipped that others hold; this is for who has locked the whole table.
_NO_WAITING: Final = Statement("SELECT set_config('lock_timeout', '100ms', true)")
#: By the database's clock: those of the servers and commands may differ from it, and from each other.
# rule of domain.access.ApiToken.live_at
_LIVE: Final = "revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())"
_FIND: Final = Statement(
    f"SELECT {', '.join(ApiToken.__dataclass_fields__)} FROM noteflow.api_tokens"  # noqa: S608 - constants
    f" WHERE token_hash = :token_hash AND {_LIVE}",
    reads=True,
)
_WORKSPACE: Final = Statement("SELECT id, name, created_at FROM noteflow.workspaces WHERE id = :id", reads=True)
_WHICH_LIVE: Final = Statement(
    f"SELECT id FROM noteflow.api_tokens WHERE id = ANY(CAST(:ids AS uuid[])) AND {_LIVE}",  # noqa: S608 - constants
    reads=True,
)
#: Many servers find the same token due at the same moment: one writes, and the others don't queue up behind it.
# rule of domain.access.ApiToken.use_is_due
_NOTE_USE: Final = Statement("""
UPDATE noteflow.api_tokens SET last_used_at = now()
WHERE id = (
    SELECT id FROM noteflow.api_tokens
    WHERE id = :id AND (last_used_at IS NULL OR last_used_at <= now() - CAST(:every AS interval))
    FOR NO KEY UPDATE SKIP LOCKED
)
RETURNING id
""")


class SqlAlchemyAccessRepository(AccessRepository):
    """Workspaces and tokens in PostgreSQL."""

    def __init__(self, work: Work) -> None:
        """Do it in that work."""
        self._work = work

    @override
    def create_workspace(self, workspace: Workspace) -> Workspace:
        statement = insert(WorkspaceRow).values(id=workspace.id, name=workspace.name).returning(WorkspaceRow)
        return workspace_to_domain(self._work.session.scalars(statement).one())

    @override
    def get_workspace(self, workspace_id: UUID) -> Workspace | None:
        row = self._work.ask(_WORKSPACE, id=workspace_id).first()
        return None if row is None else workspace_to_domain(row)

    @override
    def list_workspaces(self) -> Sequence[Workspace]:
        rows = self._work.session.scalars(select(WorkspaceRow).order_by(WorkspaceRow.created_at, WorkspaceRow.id))
        return [workspace_to_domain(row) for row in rows]

    @override
    def create_token(self, token: ApiToken) -> ApiToken:
        if self._work.session.get(WorkspaceRow, token.workspace_id) is None:
            raise NotFoundError(f"workspace_id: no workspace {token.workspace_id}")
        statement = insert(ApiTokenRow).values(**token_to_orm_kwargs(token)).returning(ApiTokenRow)
        return token_to_domain(self._work.session.scalars(statement).one())

    @override
    def list_tokens(self, workspace_id: UUID | None = None) -> Sequence[ApiToken]:
        statement = select(ApiTokenRow).order_by(ApiTokenRow.created_at, ApiTokenRow.id)
        if workspace_id is not None:
            statement = statement.where(ApiTokenRow.workspace_id == workspace_id)
        return [token_to_domain(row) for row in self._work.session.scalars(statement)]

    @override
    def revoke_token(self, token_id: UUID) -> ApiToken | None:
        statement = (
            update(ApiTokenRow)
            .where(ApiTokenRow.id == token_id, ApiTokenRow.revoked_at.is_(None))
            .values(revoked_at=func.now())
            .returning(ApiTokenRow)
        )
        row = self._work.session.scalars(statement).one_or_none()
        return None if row is None else token_to_domain(row)

    @override
    def find_token(self, token_hash: bytes) -> ApiToken | None:
        row = self._work.ask(_FIND, token_hash=token_hash).first()
        return None if row is None else token_to_domain(row)

    @override
    def live_tokens(self, token_ids: Collection[UUID]) -> Collection[UUID]:
        return {row.id for row in self._work.ask(_WHICH_LIVE, ids=list(token_ids)).all()}

    @override
    def note_use(self, token_id: UUID) -> bool:
        self._work.ask(_NO_WAITING)
        return bool(self._work.ask(_NOTE_USE, id=token_id, every=USE_NOTED_EVERY).all())
