"""The requests under ids, in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from typing_extensions import override

from noteflow_hooks.domain.ports.repositories import RequestRepository
from noteflow_hooks.domain.requests import REMEMBERED, NamedRequest

if TYPE_CHECKING:
    from noteflow_hooks.persistence.memory.store import Session


class InMemoryRequestRepository(RequestRepository):
    """The requests under ids, in memory."""

    def __init__(self, session: Session) -> None:
        """Work in this transaction."""
        self._session = session

    @override
    def get(self, request: NamedRequest) -> NamedRequest | None:
        found = self._session.tables.requests.get(request.id)
        if found is None or found.created_at is None or found.created_at <= self._session.now() - REMEMBERED:
            return None
        return found

    @override
    def claim(self, request: NamedRequest) -> NamedRequest | None:
        earlier = self.get(request)
        if earlier is None:
            self._session.tables.requests[request.id] = replace(request, created_at=self._session.now())
        return earlier

    @override
    def complete(self, request: NamedRequest) -> None:
        stored = self._session.tables.requests[request.id]
        self._session.tables.requests[request.id] = replace(
            stored, target_id=request.target_id, secret_id=request.secret_id, secret_hint=request.secret_hint
        )
