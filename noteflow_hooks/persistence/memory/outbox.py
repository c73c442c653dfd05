"""The outbox in memory. An idempotency key stands for one request of its workspace, as long as its event."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final
from uuid import UUID

from typing_extensions import override

from noteflow_hooks.domain.filters import is_filterable
from noteflow_hooks.domain.matching import is_listed
from noteflow_hooks.domain.paging import ALL_EVENTS, NEWEST_EVENTS
from noteflow_hooks.domain.ports.repositories import EventOutbox
from noteflow_hooks.errors import AlreadyExistsError
from noteflow_hooks.persistence.memory.erasing import erase, erase_answers_to_batches
from noteflow_hooks.persistence.memory.tables import age, counted, newest, require

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from noteflow_hooks.domain.events import Event
    from noteflow_hooks.domain.paging import EventFilter, IdRange, Position
    from noteflow_hooks.persistence.memory.store import Session


_FIRST: Final = UUID(int=0)


class InMemoryEventOutbox(EventOutbox):
    """The outbox in memory."""

    def __init__(self, session: Session) -> None:
        """Work in this transaction."""
        self._session = session

    @override
    def append(self, event: Event) -> Event:
        require(self._session.tables.workspaces, event.workspace_id, called="workspace")
        before = self._under_key(event)
        if before is None:
            sequence = self._next_number(event)
            stored = replace(event, created_at=self._session.now(), dispatched_at=None, sequence=sequence)
            self._session.tables.events[stored.id] = stored
            return stored
        if before.request_digest != event.request_digest:
            raise AlreadyExistsError(f"the idempotency key stands for another event, {before.id}")
        return before

    @override
    def append_many(self, events: Sequence[Event]) -> Sequence[Event | AlreadyExistsError]:
        return [self._appended(each) for each in events]

    @override
    def get_by_id(self, event_id: UUID) -> Event | None:
        return self._session.tables.events.get(event_id)

    @override
    def get_by_key(self, workspace_id: UUID, idempotency_key: str) -> Event | None:
        stored = self._session.tables.events.values()
        owner = (workspace_id, idempotency_key)
        return next((e for e in stored if (e.workspace_id, e.idempotency_key) == owner), None)

    @override
    def list_page(
        self,
        workspace_id: UUID,
        criteria: EventFilter = ALL_EVENTS,
        *,
        limit: int,
        after: Position | None = None,
        ids: IdRange | None = None,
    ) -> Sequence[Event]:
        return newest(self._wanted(workspace_id, criteria), limit=limit, after=after, ids=ids)

    @override
    def count(self, workspace_id: UUID, criteria: EventFilter = ALL_EVENTS, *, ids: IdRange | None = None) -> int:
        return counted(self._wanted(workspace_id, criteria), ids)

    @override
    def newest_filterable(self, workspace_id: UUID, types: Collection[str] | None = None, *, limit: int) -> list[Event]:
        newest_of_all = newest(self._wanted(workspace_id, ALL_EVENTS), limit=NEWEST_EVENTS)
        wanted = (each for each in newest_of_all if types is None or each.event_type in types)
        return [each for each in wanted if is_filterable(each.event_type)][:limit]

    @override
    def horizon(self) -> datetime:
        return self._session.now()

    @override
    def stored_after(
        self, workspace_ids: Collection[UUID], position: Position, *, until: datetime, limit: int
    ) -> Sequence[Event]:
        own = [each for each in self._session.tables.events.values() if each.workspace_id in workspace_ids]
        behind = (each for each in own if (position.created_at, position.id) < age(each) < (until, _FIRST))
        return sorted(behind, key=age)[:limit]

    @override
    def erase_meeting(self, workspace_id: UUID, meeting_id: str) -> tuple[int, int]:
        about = (workspace_id, meeting_id)
        stored = self._session.tables.events.values()
        own = [e for e in stored if (e.workspace_id, e.meeting_id) == about and e.payload_erased_at is None]
        skipped = sum(erase(self._session, event) for event in own)
        erase_answers_to_batches(self._session, own)
        return len(own), skipped

    def _appended(self, event: Event) -> Event | AlreadyExistsError:
        try:
            return self.get_by_id(event.id) or self.append(event)
        except AlreadyExistsError as error:
            return error

    def _next_number(self, event: Event) -> int | None:
        if event.meeting_id is None:
            return None
        counters, about = self._session.tables.sequences, (event.workspace_id, event.meeting_id)
        counters[about] = counters.get(about, 0) + 1
        return counters[about]

    def _wanted(self, workspace_id: UUID, criteria: EventFilter) -> list[Event]:
        stored = self._session.tables.events.values()
        return [e for e in stored if e.workspace_id == workspace_id and is_listed(e, criteria)]

    def _under_key(self, event: Event) -> Event | None:
        key = event.idempotency_key
        return None if key is None else self.get_by_key(event.workspace_id, key)
