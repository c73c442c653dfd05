"""What is stored, read straight from the tables of either store: what the product's own readers say can be held to it.

All moments are told by one clock that only goes forward, also where time passes by making everything stored older.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.domain.health.state import EndpointHealth
from noteflow_hooks.persistence.memory import (
    InMemoryBreakerLog,
    InMemoryCertificateWatch,
    InMemoryDeliveryStore,
    InMemoryRetentionStore,
    InMemoryUnitOfWork,
    MemoryStore,
)
from tests.conformance.model.world import World
from tests.support.builders import NOON

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from uuid import UUID

    import psycopg

#: By the names that :class:`Rows` has for them.
_TABLES: Final = {
    "webhooks": "SELECT id, workspace_id, url, events, enabled, disabled_reason, deleted_at, paused_at,"
    " max_concurrency, rate_limit_per_s, max_retries, timeout_ms, created_at FROM noteflow.webhook_configs",
    "health": "SELECT * FROM noteflow.webhook_health",
    "events": "SELECT id, workspace_id, event_type, target_webhook_id, meeting_id, created_at, dispatched_at,"
    " payload_erased_at, convert_to(payload::text, 'UTF8') AS payload FROM noteflow.webhook_events",
    "deliveries": "SELECT id, webhook_id, event_id, event_type, status, status_code, response_body, error_message,"
    " attempt_count, duration_ms, next_attempt_at, lease_expires_at, delivered_at, created_at, budget_used,"
    " interruptions, claim_no, held, forced, error_kind FROM noteflow.webhook_deliveries",
    "attempts": "SELECT delivery_id, attempt_number, duration_ms, status_code, response_body, error_kind, error_message"
    " FROM noteflow.webhook_attempts ORDER BY attempt_number",
    "replays": "SELECT id, workspace_id, state, sent, rate_per_s, paced_at, created_at FROM noteflow.webhook_replays",
    "redeliveries": "SELECT id, delivery_id, replay_id, previous_status, after_attempt"
    " FROM noteflow.webhook_redeliveries ORDER BY requested_at, id",
}


@dataclass(frozen=True)
class Rows:
    """All rows at one moment; they have their columns' names, whichever store they are from."""

    now: datetime
    webhooks: dict[UUID, Any]
    health: dict[UUID, Any]
    events: dict[UUID, Any]
    deliveries: dict[UUID, Any]
    #: By delivery, first one first.
    attempts: dict[UUID, Sequence[Any]]
    replays: dict[UUID, Any]
    redeliveries: Sequence[Any]

    def of(self, webhook_id: UUID, *statuses: str) -> list[Any]:
        """Return an endpoint's deliveries in these states."""
        return [each for each in self.deliveries.values() if each.webhook_id == webhook_id and each.status in statuses]

    def held(self, webhook_id: UUID) -> list[Any]:
        """Return what waits for an endpoint's turns."""
        return [each for each in self.of(webhook_id, "pending") if each.held]

    def is_throttled(self, webhook_id: UUID) -> bool:
        """Tell whether an endpoint's deliveries have to go in its turns."""
        webhook, health = self.webhooks[webhook_id], self.health[webhook_id]
        gates = (health.turn_at, health.open_until, health.ramp, health.slow_since)
        return any(each is not None for each in (*gates, webhook.paused_at, webhook.rate_limit_per_s))

    def is_active(self, webhook_id: UUID) -> bool:
        """Tell whether anything may be sent to an endpoint."""
        webhook = self.webhooks[webhook_id]
        return webhook.enabled and webhook.deleted_at is None


@dataclass(frozen=True)
class Opened:
    """An empty store, and the ways past the product's code to look at it."""

    world: World
    now: Callable[[], datetime]
    read: Callable[[], Rows]


def in_memory() -> Opened:
    """Make a store in memory, whose clock stands still but for a tick at each look."""
    later = timedelta(0)
    ticks = count()

    def clock() -> datetime:
        return NOON + later + timedelta(microseconds=next(ticks))

    def age(by: timedelta) -> None:
        nonlocal later
        later += by

    store = MemoryStore(now=clock)
    stores = partial(InMemoryDeliveryStore, store)
    world = World(
        partial(InMemoryUnitOfWork, store),
        stores(),
        stores,
        age,
        InMemoryRetentionStore(store),
        InMemoryBreakerLog(store),
        InMemoryCertificateWatch(store),
    )
    return Opened(world, clock, partial(_rows_in_memory, store))


def _rows_in_memory(store: MemoryStore) -> Rows:
    tables = store.tables
    # The lowest layer is all there is between transactions, and the layers' own way of looking things up is a slow one.
    return Rows(
        now=store.now(),
        webhooks={**tables.webhooks.maps[0]},
        health={each: tables.health.get(each) or EndpointHealth(each) for each in tables.webhooks},
        events={**tables.events.maps[0]},
        deliveries={**tables.deliveries.maps[0]},
        attempts={**tables.attempts.maps[0]},
        replays={**tables.replays.maps[0]},
        redeliveries=[each for records in tables.redeliveries.values() for each in records],
    )


class PostgresTables:
    """Empties the database and reads it, by a connection of its own."""

    def __init__(self, connection: psycopg.Connection, world: World) -> None:
        """``connection`` commits by itself; ``world`` is the database as the suite uses it."""
        self._connection = connection
        self._world = world
        self._passed = timedelta(0)
        self._columns: dict[str, list[str]] = {}
        self._rows: Rows | None = None
        self._written: object = None

    def emptied(self) -> Opened:
        """Offer the database, emptied."""
        self._connection.execute(
            "TRUNCATE noteflow.workspaces, noteflow.webhook_deliveries, noteflow.webhook_attempts,"
            " noteflow.webhook_redeliveries, noteflow.breaker_tallies CASCADE"
        )
        self._passed = timedelta(0)
        return Opened(replace(self._world, age=self._age), self._now, self._read)

    def _now(self) -> datetime:
        return datetime.now(UTC) + self._passed

    def _age(self, by: timedelta) -> None:
        self._world.age(by)
        self._passed += by

    def _read(self) -> Rows:
        """Read all tables in one round trip, unless nothing was written since they were last read."""
        [written] = self._connection.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())").fetchall()
        if self._rows is None or self._written != written:
            self._rows, self._written = self._read_all(), written
        return replace(self._rows, now=self._now())

    def _read_all(self) -> Rows:
        cursor = self._connection.execute("; ".join(_TABLES.values()))
        found: dict[str, list[Any]] = {}
        for name in _TABLES:
            if name not in self._columns:
                self._columns[name] = [each.name for each in cursor.description or ()]
            found[name] = [self._row(self._columns[name], values) for values in cursor.fetchall()]
            cursor.nextset()
        attempts: dict[UUID, list[Any]] = {}
        for each in found["attempts"]:
            attempts.setdefault(each.delivery_id, []).append(each)
        return Rows(
            now=self._now(),
            webhooks=_by_id(found["webhooks"]),
            health={each.webhook_id: each for each in found["health"]},
            events=_by_id(found["events"]),
            deliveries=_by_id(found["deliveries"]),
            attempts={**attempts},
            replays=_by_id(found["replays"]),
            redeliveries=found["redeliveries"],
        )

    def _row(self, columns: list[str], values: tuple[Any, ...]) -> SimpleNamespace:
        told = (each + self._passed if isinstance(each, datetime) else each for each in values)
        return SimpleNamespace(**dict(zip(columns, told, strict=True)))


def _by_id(rows: Iterable[Any]) -> dict[UUID, Any]:
    return {each.id: each for each in rows}
