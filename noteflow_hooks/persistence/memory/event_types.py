"""The workspaces' own event types, in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from typing_extensions import override

from noteflow_hooks.domain.event_types import check_room
from noteflow_hooks.domain.ports.repositories import EventTypeRepository
from noteflow_hooks.persistence.memory.tables import require

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from uuid import UUID

    from noteflow_hooks.domain.event_types import CustomEventType
    from noteflow_hooks.persistence.memory.store import Session


class InMemoryEventTypeRepository(EventTypeRepository):
    """The workspaces' own event types, in memory."""

    def __init__(self, session: Session) -> None:
        """Work in this transaction."""
        self._session = session

    @override
    def put(self, kind: CustomEventType) -> CustomEventType:
        require(self._session.tables.workspaces, kind.workspace_id, called="workspace")
        own = {each.name: each for each in self.get_all(kind.workspace_id)}
        before, now = own.get(kind.name), self._session.now()
        if before is None:
            check_room(len(own))
        stored = replace(kind, created_at=now if before is None else before.created_at, updated_at=now)
        self._session.tables.event_types[kind.workspace_id, kind.name] = stored
        return stored

    @override
    def get(self, workspace_id: UUID, names: Collection[str]) -> Mapping[str, CustomEventType]:
        return {each.name: each for each in self.get_all(workspace_id) if each.name in names}

    @override
    def get_all(self, workspace_id: UUID) -> Sequence[CustomEventType]:
        stored = self._session.tables.event_types.values()
        own = (each for each in stored if each is not None and each.workspace_id == workspace_id)
        return sorted(own, key=lambda each: each.name)

    @override
    def delete(self, workspace_id: UUID, name: str) -> bool:
        if not self.get(workspace_id, [name]):
            return False
        # Layers only ever add and replace.
        self._session.tables.event_types[workspace_id, name] = None
        return True
