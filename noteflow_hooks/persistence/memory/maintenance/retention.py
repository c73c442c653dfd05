"""What goes once it is old, in memory.

Transactions only add and replace rows. So rows are removed from the tables themselves, under the store's lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar
from uuid import UUID

from typing_extensions import override

from noteflow_hooks.domain.deliveries import FINAL_STATUSES
from noteflow_hooks.domain.paging import Position
from noteflow_hooks.domain.ports.maintenance import PurgeBatch, RetentionStore
from noteflow_hooks.domain.stats import HOUR, MINUTE
from noteflow_hooks.persistence.memory.delivery.order_keeper import holds
from noteflow_hooks.persistence.memory.erasing import erase
from noteflow_hooks.persistence.memory.maintenance.rollups import InMemoryStatsKeeper
from noteflow_hooks.persistence.memory.tables import age

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime, timedelta

    from noteflow_hooks.domain.attempts import WebhookAttempt
    from noteflow_hooks.domain.events import Event
    from noteflow_hooks.persistence.memory.store import MemoryStore
    from noteflow_hooks.persistence.memory.tables import Tables

RowT = TypeVar("RowT")
_NO_ID: Final = UUID(int=0)
#: A row, with the moment that its age is counted from and its id.
_Aged: TypeAlias = tuple[tuple["datetime", "UUID"], RowT]


class InMemoryRetentionStore(RetentionStore):
    """Retention in memory."""

    def __init__(self, store: MemoryStore) -> None:
        """Work on this store."""
        self._store = store
        self._keeper = InMemoryStatsKeeper(store)

    @override
    def erase_payloads(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> PurgeBatch:
        with self._store.transaction() as session:
            kept = [(age(each), each) for each in session.tables.events.values() if each.payload_erased_at is None]
            page, cursor = _page(kept, session.now() - older_than, limit, after)
            settled = [each for each in page if _is_settled(session.tables, each)]
            for each in settled:
                erase(session, each)
            return PurgeBatch(len(settled), cursor)

    @override
    def remove_attempts(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> PurgeBatch:
        self._keeper.roll_up()
        with self._store.lock:
            tables = self._store.tables
            made = [((each.started_at, each.id), each) for own in tables.attempts.values() for each in own]
            page, cursor = _page(made, self._store.now() - older_than, limit, after)
            chosen = [each for each in page if tables.deliveries[each.delivery_id].status in FINAL_STATUSES]
            for each in chosen:
                _remove_attempt(tables, each)
            return PurgeBatch(len(chosen), cursor)

    @override
    def remove_events(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> PurgeBatch:
        self._keeper.roll_up()
        with self._store.lock:
            tables = self._store.tables
            erased = [(age(each), each) for each in tables.events.values() if each.payload_erased_at is not None]
            page, cursor = _page(erased, self._store.now() - older_than, limit, after)
            chosen = [each for each in page if _is_settled(tables, each)]
            for each in chosen:
                _remove_event(tables, each)
            return PurgeBatch(len(chosen), cursor)

    @override
    def remove_replays(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> PurgeBatch:
        with self._store.lock:
            tables = self._store.tables
            ended = [
                ((each.finished_at, each.id), each) for each in tables.replays.values() if each.finished_at is not None
            ]
            page, cursor = _page(ended, self._store.now() - older_than, limit, after)
            named = {each.replay_id for own in tables.redeliveries.values() for each in own}
            chosen = [each for each in page if each.id not in named]
            for each in chosen:
                del tables.replays[each.id]
            return PurgeBatch(len(chosen), cursor)

    @override
    def remove_batches(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> PurgeBatch:
        with self._store.lock:
            tables = self._store.tables
            made = [(age(each), each) for each in tables.batches.values()]
            page, cursor = _page(made, self._store.now() - older_than, limit, after)
            named = {each.batch_id for each in tables.deliveries.values()}
            chosen = [each for each in page if each.id not in named]
            for each in chosen:
                del tables.batches[each.id]
            return PurgeBatch(len(chosen), cursor)

    @override
    def remove_requests(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> PurgeBatch:
        with self._store.lock:
            tables = self._store.tables
            made = [
                ((each.created_at, each.id), each) for each in tables.requests.values() if each.created_at is not None
            ]
            page, cursor = _page(made, self._store.now() - older_than, limit, after)
            for each in page:
                del tables.requests[each.id]
            return PurgeBatch(len(page), cursor)

    @override
    def remove_mails(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> PurgeBatch:
        with self._store.lock:
            tables = self._store.tables
            made = [(age(each), each) for each in tables.mails.values()]
            page, cursor = _page(made, self._store.now() - older_than, limit, after)
            for each in page:
                del tables.mails[each.id]
            return PurgeBatch(len(page), cursor)

    @override
    def remove_header_forms(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> PurgeBatch:
        # Here each attempt has its headers by itself.
        return PurgeBatch(0, None)

    @override
    def remove_webhooks(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> PurgeBatch:
        with self._store.lock:
            tables = self._store.tables
            deleted = [
                ((each.deleted_at, each.id), each) for each in tables.webhooks.values() if each.deleted_at is not None
            ]
            page, cursor = _page(deleted, self._store.now() - older_than, limit, after)
            named = _named_webhooks(tables)
            chosen = [each for each in page if each.id not in named]
            for each in chosen:
                del tables.webhooks[each.id]
                tables.health.pop(each.id, None)
                tables.endpoint_facts.pop(each.id, None)
                for mail in [one for one in tables.mails.values() if one.webhook_id == each.id]:
                    del tables.mails[mail.id]
            return PurgeBatch(len(chosen), cursor)

    @override
    def remove_minutes(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> PurgeBatch:
        return self._remove_figures(MINUTE, older_than, limit)

    @override
    def remove_hours(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> PurgeBatch:
        return self._remove_figures(HOUR, older_than, limit)

    @override
    def remove_audit_entries(self, older_than: timedelta, *, limit: int, after: Position | None = None) -> PurgeBatch:
        with self._store.lock:
            tables = self._store.tables
            page, cursor = _page(
                [(age(each), each) for each in tables.audit.values()], self._store.now() - older_than, limit, after
            )
            for each in page:
                del tables.audit[each.id]
            return PurgeBatch(len(page), cursor)

    def _remove_figures(self, unit: timedelta, older_than: timedelta, limit: int) -> PurgeBatch:
        with self._store.lock:
            tables, last = self._store.tables, self._store.now() - older_than
            old = [key for key in tables.rollups if key[0] == unit and key[1] is not None and key[1] <= last]
            chosen = sorted(old, key=lambda key: str(key[1]))[:limit]
            for key in chosen:
                del tables.rollups[key]
            return PurgeBatch(len(chosen), Position(last, _NO_ID) if len(chosen) == limit else None)


def _page(
    rows: Iterable[_Aged[RowT]], last: datetime, limit: int, after: Position | None
) -> tuple[Sequence[RowT], Position | None]:
    """Return the oldest rows behind the cursor that are old enough, and the cursor of the next page."""
    behind = None if after is None else (after.created_at, after.id)
    old = sorted(
        ((place, row) for place, row in rows if place[0] <= last and (behind is None or place > behind)),
        key=lambda each: each[0],
    )[:limit]
    return [row for _, row in old], Position(*old[-1][0]) if len(old) == limit else None


def _is_settled(tables: Tables, event: Event) -> bool:
    own = [each for each in tables.deliveries.values() if each.event_id == event.id]
    is_final = event.dispatched_at is not None and all(each.status in FINAL_STATUSES for each in own)
    return is_final and not any(holds(tables, each) for each in own)


def _named_webhooks(tables: Tables) -> set[UUID | None]:
    return {
        *(each.webhook_id for each in tables.deliveries.values()),
        *(each.target_webhook_id for each in tables.events.values()),
        *(each.criteria.webhook_id for each in tables.replays.values()),
        *(each.webhook_id for each in tables.batches.values()),
    }


def _remove_attempt(tables: Tables, attempt: WebhookAttempt) -> None:
    own = tables.attempts[attempt.delivery_id]
    tables.attempts[attempt.delivery_id] = tuple(each for each in own if each.id != attempt.id)


def _remove_event(tables: Tables, event: Event) -> None:
    for each in [each for each in tables.deliveries.values() if each.event_id == event.id]:
        for table in (tables.attempts, tables.redeliveries, tables.claimed_at, tables.deliveries, tables.ended_before):
            table.pop(each.id, None)
    tables.cursors.pop(event.id, None)
    del tables.events[event.id]
