"""Workspaces and tokens in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from typing_extensions import override

from noteflow_hooks.domain.ports.repositories import AccessRepository
from noteflow_hooks.persistence.memory.tables import age, require

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from uuid import UUID

    from noteflow_hooks.domain.access import ApiToken, Workspace
    from noteflow_hooks.persistence.memory.store import Session


class InMemoryAccessRepository(AccessRepository):
    """Workspaces and tokens in memory."""

    def __init__(self, session: Session) -> None:
        """Work in this transaction."""
        self._session = session

    @override
    def create_workspace(self, workspace: Workspace) -> Workspace:
        stored = replace(workspace, created_at=self._session.now())
        self._session.tables.workspaces[stored.id] = stored
        return stored

    @override
    def get_workspace(self, workspace_id: UUID) -> Workspace | None:
        return self._session.tables.workspaces.get(workspace_id)

    @override
    def list_workspaces(self) -> Sequence[Workspace]:
        return sorted(self._session.tables.workspaces.values(), key=age)

    @override
    def create_token(self, token: ApiToken) -> ApiToken:
        require(self._session.tables.workspaces, token.workspace_id, called="workspace")
        stored = replace(token, created_at=self._session.now(), revoked_at=None, last_used_at=None)
        self._session.tables.tokens[stored.id] = stored
        return stored

    @override
    def list_tokens(self, workspace_id: UUID | None = None) -> Sequence[ApiToken]:
        stored = self._session.tables.tokens.values()
        return sorted((token for token in stored if workspace_id in (None, token.workspace_id)), key=age)

    @override
    def revoke_token(self, token_id: UUID) -> ApiToken | None:
        token = self._session.tables.tokens.get(token_id)
        if token is None or token.revoked_at is not None:
            return None
        revoked = self._session.tables.tokens[token_id] = replace(token, revoked_at=self._session.now())
        return revoked

    @override
    def find_token(self, token_hash: bytes) -> ApiToken | None:
        return next((token for token in self._live() if token.token_hash == token_hash), None)

    @override
    def live_tokens(self, token_ids: Collection[UUID]) -> Collection[UUID]:
        return {token.id for token in self._live() if token.id in token_ids}

    @override
    def note_use(self, token_id: UUID) -> bool:
        token, now = self._session.tables.tokens.get(token_id), self._session.now()
        if token is None or not token.use_is_due(now):
            return False
        self._session.tables.tokens[token_id] = replace(token, last_used_at=now)
        return True

    def _live(self) -> Iterator[ApiToken]:
        now = self._session.now()
        return (token for token in self._session.tables.tokens.values() if token.live_at(now))
