"""Workspaces and tokens in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from noteflow_hooks.domain.access import USE_NOTED_EVERY
from noteflow_hooks.persistence.memory.tables import age, require

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from uuid import UUID

    from noteflow_hooks.domain.access import ApiToken, Workspace
    from noteflow_hooks.persistence.memory.store import Session


class InMemoryAccessRepository:
    """See :class:`noteflow_hooks.domain.ports.repositories.AccessRepository`."""

    def __init__(self, session: Session) -> None:
        """Work in this transaction."""
        self._session = session

    def create_workspace(self, workspace: Workspace) -> Workspace:
        """Store a new workspace."""
        stored = replace(workspace, created_at=self._session.now())
        self._session.tables.workspaces[stored.id] = stored
        return stored

    def list_workspaces(self) -> Sequence[Workspace]:
        """Return all workspaces, oldest first."""
        return sorted(self._session.tables.workspaces.values(), key=age)

    def create_token(self, token: ApiToken) -> ApiToken:
        """Store a new token's record; raise NotFoundError where its workspace is not."""
        require(self._session.tables.workspaces, token.workspace_id, called="workspace")
        stored = replace(token, created_at=self._session.now(), revoked_at=None, last_used_at=None)
        self._session.tables.tokens[stored.id] = stored
        return stored

    def list_tokens(self, workspace_id: UUID | None = None) -> Sequence[ApiToken]:
        """Return the tokens' records, of one workspace or all, oldest first."""
        stored = self._session.tables.tokens.values()
        return sorted((token for token in stored if workspace_id in (None, token.workspace_id)), key=age)

    def revoke_token(self, token_id: UUID) -> bool:
        """Revoke it, once: False where there is none or it was revoked."""
        token = self._session.tables.tokens.get(token_id)
        if token is None or token.revoked_at is not None:
            return False
        self._session.tables.tokens[token_id] = replace(token, revoked_at=self._session.now())
        return True

    def find_token(self, token_hash: bytes) -> ApiToken | None:
        """Return the record of a token that is neither revoked nor past its end, or None."""
        return next((token for token in self._live() if token.token_hash == token_hash), None)

    def live_tokens(self, token_ids: Collection[UUID]) -> Collection[UUID]:
        """Return those of these that are neither revoked nor past their end."""
        return {token.id for token in self._live() if token.id in token_ids}

    def note_use(self, token_id: UUID) -> bool:
        """Record that it is used now, where nobody did that within the minute."""
        token, now = self._session.tables.tokens.get(token_id), self._session.now()
        if token is None or (token.last_used_at is not None and token.last_used_at > now - USE_NOTED_EVERY):
            return False
        self._session.tables.tokens[token_id] = replace(token, last_used_at=now)
        return True

    def _live(self) -> Iterator[ApiToken]:
        now = self._session.now()
        return (token for token in self._session.tables.tokens.values() if token.live_at(now))
