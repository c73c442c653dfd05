"""The roll-ups in memory, as they are read."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from typing_extensions import override

from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.health.endpoint_state import state_of
from noteflow_hooks.domain.ports.stats import EndpointFacts, Present, StatsRepository
from noteflow_hooks.domain.skipping import SkipReason
from noteflow_hooks.domain.stats import HOUR, MINUTE, Count, Measure, ended_by
from noteflow_hooks.persistence.memory.health import health_of
from noteflow_hooks.persistence.memory.rollups import COUNTED_TO
from noteflow_hooks.persistence.memory.tables import Rolled

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from typing import Any, TypeVar
    from uuid import UUID

    from noteflow_hooks.domain.deliveries import WebhookDelivery
    from noteflow_hooks.domain.stats import StatsQuery
    from noteflow_hooks.persistence.memory.store import Session
    from noteflow_hooks.persistence.memory.tables import RollupKey

    Key = TypeVar("Key")


class InMemoryStatsRepository(StatsRepository):
    """The roll-ups, as they are read, in memory."""

    def __init__(self, session: Session) -> None:
        """Work in this transaction."""
        self._session = session

    @override
    def counted_to(self) -> datetime | None:
        return self._session.tables.counted_to.get(COUNTED_TO)

    @override
    def by_point(self, workspace_id: UUID, query: StatsQuery) -> Sequence[tuple[datetime, Count]]:
        begins, ends = query.span
        bucket = query.bucket if query.bucket is not None else ends - begins
        rows = self._rows(workspace_id, query, {query.webhook_id})
        return _summed((begins + (at - begins) // bucket * bucket, key, rolled) for at, key, rolled in rows)

    @override
    def by_type(self, workspace_id: UUID, query: StatsQuery) -> Sequence[tuple[str, Count]]:
        return _summed((key[4], key, rolled) for _, key, rolled in self._rows(workspace_id, query, {query.webhook_id}))

    @override
    def by_endpoint(self, workspace_id: UUID, query: StatsQuery) -> Sequence[tuple[tuple[UUID, datetime], Count]]:
        begins, bucket = query.span.begins, query.endpoint_bucket
        rows = self._rows(workspace_id, query, set(query.webhook_ids))
        return _summed(
            ((key[3], begins + (at - begins) // bucket * bucket), key, rolled)
            for at, key, rolled in rows
            if key[3] is not None
        )

    @override
    def facts(self, workspace_id: UUID, webhook_ids: Collection[UUID]) -> Mapping[UUID, EndpointFacts]:
        tables = self._session.tables
        own = [tables.webhooks[each] for each in webhook_ids if each in tables.webhooks]
        return {
            each.id: self._facts(each.id)
            for each in own
            if each.workspace_id == workspace_id and each.deleted_at is None
        }

    @override
    def present(self, workspace_id: UUID, *, webhook_id: UUID | None) -> Present:
        tables = self._session.tables
        own = [each for each in self._deliveries(workspace_id) if webhook_id in (None, each.webhook_id)]
        pending = [each for each in own if each.status is DeliveryStatus.PENDING]
        events = [] if webhook_id is not None else list(tables.events.values())
        endpoints = [] if webhook_id is not None else list(tables.webhooks.values())
        return Present(
            undispatched=sum(1 for each in events if each.workspace_id == workspace_id and each.dispatched_at is None),
            pending=len(pending),
            throttled=sum(1 for each in pending if each.held),
            sending=sum(1 for each in own if each.status is DeliveryStatus.SENDING),
            dead=_by(ended_by, (each for each in own if each.status is DeliveryStatus.DEAD)),
            skipped=_by(ended_by, (each for each in own if _is_owed_skip(each))),
            has_more=False,
            endpoints=_by(
                lambda each: state_of(each, health_of(self._session, each.id)),
                (each for each in endpoints if each.workspace_id == workspace_id and each.deleted_at is None),
            ),
        )

    def _facts(self, webhook_id: UUID) -> EndpointFacts:
        waiting = [
            each
            for each in self._session.tables.deliveries.values()
            if each.webhook_id == webhook_id and each.status is DeliveryStatus.PENDING
        ]
        last = self._session.tables.endpoint_facts.get(webhook_id, (None, None))
        return EndpointFacts(*last, len(waiting), sum(1 for each in waiting if each.held))

    def _deliveries(self, workspace_id: UUID) -> Iterator[WebhookDelivery]:
        events = self._session.tables.events
        for each in self._session.tables.deliveries.values():
            if events[each.event_id].workspace_id == workspace_id:
                yield each

    def _rows(
        self, workspace_id: UUID, query: StatsQuery, webhook_ids: Collection[UUID | None]
    ) -> Iterator[tuple[datetime, RollupKey, Rolled]]:
        before, hours, behind = query.pieces
        spans = [(MINUTE, before), (HOUR, hours), (MINUTE, behind)]
        for key, rolled in self._session.tables.rollups.items():
            unit, at, workspace, webhook_id, event_type, measure, kind, _ = key
            if at is None or workspace != workspace_id or webhook_id not in webhook_ids:
                continue
            is_narrowed = query.event_type in (None, event_type) and (
                measure != Measure.ATTEMPT or query.outcome in (None, kind)
            )
            if is_narrowed and any(unit == own and span.begins <= at < span.ends for own, span in spans):
                yield at, key, rolled


def _summed(rows: Iterable[tuple[Key, RollupKey, Rolled]]) -> list[tuple[Key, Count]]:
    sums: dict[tuple[Key, tuple[str, str, int]], Rolled] = defaultdict(Rolled)
    for name, key, rolled in rows:
        own = (name, key[5:])
        sums[own] = Rolled(sums[own].number + rolled.number, sums[own].total_ms + rolled.total_ms)
    return [(name, Count(*what, *rolled)) for (name, what), rolled in sums.items()]


def _is_owed_skip(delivery: WebhookDelivery) -> bool:
    return delivery.status is DeliveryStatus.SKIPPED and delivery.skip_reason is not SkipReason.FILTERED


def _by(word: Callable[[Any], str], rows: Iterable[Any]) -> dict[str, int]:
    return dict(Counter(str(word(each)) for each in rows))
