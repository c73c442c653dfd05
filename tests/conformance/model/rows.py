"""What is stored, read straight from the tables of either store: what the product's own readers say can be held to it.

All moments are told by one clock that only goes forward, also where time passes by making everything stored older.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from noteflow_hooks.domain.health.state import EndpointHealth
from noteflow_hooks.domain.ordering import BLOCKED_FOR, BLOCKED_FROM
from noteflow_hooks.persistence.memory import (
    InMemoryBreakerLog,
    InMemoryCertificateWatch,
    InMemoryDeliveryStore,
    InMemoryMailStore,
    InMemoryRetentionStore,
    InMemoryStatsKeeper,
    InMemoryUnitOfWork,
    MemoryStore,
)
from tests.conformance.model.world import World
from tests.support.builders import NOON

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from uuid import UUID

    import psycopg

    from noteflow_hooks.domain.webhooks import WebhookConfig
    from tests.support.emptying import Emptier


#: By the names that :class:`Rows` has for them.
_TABLES: Final = {
    "webhooks": "SELECT id, workspace_id, url, events, enabled, disabled_reason, deleted_at, paused_at,"
    " max_concurrency, rate_limit_per_s, format, max_retries, timeout_ms, batch_max, batch_wait_ms,"
    " ordering, created_at,"
    " unverified_since, verified_at, pending_url, challenge_event_id FROM noteflow.webhook_configs",
    "health": "SELECT * FROM noteflow.webhook_health",
    "events": "SELECT id, workspace_id, event_type, target_webhook_id, meeting_id, created_at, dispatched_at,"
    " payload_erased_at, sequence, convert_to(payload::text, 'UTF8') AS payload FROM noteflow.webhook_events",
    "deliveries": "SELECT id, webhook_id, event_id, event_type, status, status_code, response_body, error_message,"
    " attempt_count, duration_ms, next_attempt_at, lease_expires_at, delivered_at, created_at, budget_used,"
    " interruptions, claim_no, held, forced, skip_reason, rendering, batch_id, batch_limit, error_kind"
    " FROM noteflow.webhook_deliveries",
    "attempts": "SELECT delivery_id, attempt_number, duration_ms, status_code, response_body, error_kind,"
    " error_message, batch_id FROM noteflow.webhook_attempts ORDER BY attempt_number",
    "replays": "SELECT id, workspace_id, state, sent, rate_per_s,"
    " coalesce(reasoned_paced_at, narrowed_paced_at, paced_at) AS paced_at, created_at FROM noteflow.webhook_replays",
    "redeliveries": "SELECT id, delivery_id, replay_id, previous_status, after_attempt"
    " FROM noteflow.webhook_redeliveries ORDER BY requested_at, id",
}


#: What the vendors of chats take in a second, as docs/presets.md says.
RATES: Final[dict[str, float]] = {"slack": 1.0, "discord": 0.5, "teams": 2.0}


def is_blocked(row: Any) -> bool:  # noqa: ANN401 - a row of either store
    """Tell whether a delivery waits for an earlier one of its meeting."""
    return bool(row.held and row.next_attempt_at >= BLOCKED_FROM)


def due_of(row: Any) -> datetime | None:  # noqa: ANN401 - as above
    """Return when a delivery is due, were it not blocked."""
    due_at: datetime | None = row.next_attempt_at
    return due_at - BLOCKED_FOR if due_at is not None and is_blocked(row) else due_at


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
        """Return what waits for an endpoint's turns, but for what waits for an earlier one of its meeting."""
        return [each for each in self.of(webhook_id, "pending") if each.held and not is_blocked(each)]

    def earlier(self, webhook_id: UUID, event_id: UUID) -> list[Any]:
        """Return what goes before an event of a meeting, at an endpoint: what is under way, or not dispatched."""
        own = self.events[event_id]
        if own.meeting_id is None:
            return []
        about = own.workspace_id, own.meeting_id
        before = {
            each.id: each
            for each in self.events.values()
            if (each.workspace_id, each.meeting_id) == about and each.sequence < own.sequence
        }
        waiting = [each for each in self.of(webhook_id, "pending", "sending") if each.event_id in before]
        had = {each.event_id for each in self.deliveries.values() if each.webhook_id == webhook_id}
        return waiting + [each for key, each in before.items() if each.dispatched_at is None and key not in had]

    def is_throttled(self, webhook_id: UUID) -> bool:
        """Tell whether an endpoint's deliveries have to go in its turns."""
        webhook, health = self.webhooks[webhook_id], self.health[webhook_id]
        gates = (health.turn_at, health.open_until, health.ramp, health.slow_since)
        marks = (*gates, rate_of(webhook))
        is_scheduled = webhook.batch_max > 0 or webhook.ordering != "none"
        return is_scheduled or keeps_back(webhook) or any(each is not None for each in marks)

    def leases_batches(self, webhook_id: UUID) -> bool:
        """Tell whether whole batches of an endpoint may go as they are dispatched."""
        webhook, health = self.webhooks[webhook_id], self.health[webhook_id]
        marks = (health.open_until, health.ramp, health.slow_since, rate_of(webhook))
        is_free = not health.awaiting_room and not keeps_back(webhook) and all(each is None for each in marks)
        return is_free and webhook.batch_max > 0 and webhook.ordering == "none"

    def is_merely_flooded(self, webhook_id: UUID) -> bool:
        """Tell whether an endpoint of the quick lane has turns for nothing but the number of its deliveries."""
        webhook, health = self.webhooks[webhook_id], self.health[webhook_id]
        marks = (health.open_until, health.probing_until, health.ramp, health.slow_since, rate_of(webhook))
        is_scheduled = webhook.ordering != "none" or self.goes_in_batches(webhook_id)
        is_free = self.is_active(webhook_id) and not keeps_back(webhook) and not is_scheduled
        return is_free and all(each is None for each in marks)

    def posts(self, webhook_id: UUID) -> int:
        """Return how many POSTs to an endpoint are under way: a batch is one."""
        return len({each.batch_id if each.batch_id is not None else each.id for each in self.of(webhook_id, "sending")})

    def goes_in_batches(self, webhook_id: UUID) -> bool:
        """Tell whether an endpoint's deliveries go in batches, or some of them still do."""
        own = self.of(webhook_id, "pending", "sending")
        return self.webhooks[webhook_id].batch_max > 0 or any(each.batch_id is not None for each in own)

    def is_active(self, webhook_id: UUID) -> bool:
        """Tell whether anything may be sent to an endpoint."""
        webhook = self.webhooks[webhook_id]
        return webhook.enabled and webhook.deleted_at is None


def rate_of(webhook: Any) -> float | None:  # noqa: ANN401 - a row or a value
    """Return how many a second an endpoint may get, by its own limit or its vendor's; None for no limit."""
    if webhook.rate_limit_per_s is not None:
        return float(webhook.rate_limit_per_s)
    return RATES.get(webhook.format)


class Shown(NamedTuple):
    """What an endpoint has shown of itself, and which event asks it."""

    is_verified: bool
    pending_url: str | None
    asking: UUID | None


def shown(webhook: Any) -> Shown:  # noqa: ANN401 - a row of either store
    """Return it, whichever store the row is from."""
    return Shown(webhook.unverified_since is None, webhook.pending_url, webhook.challenge_event_id)


def keeps_back(webhook: Any) -> bool:  # noqa: ANN401 - a row of either store
    """Tell whether all that waits for an endpoint goes on waiting, but for its challenge and what a person wants."""
    return webhook.paused_at is not None or not shown(webhook).is_verified


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
        InMemoryStatsKeeper(store),
        InMemoryMailStore(store),
    )
    return Opened(world, clock, partial(_rows_in_memory, store))


def _rows_in_memory(store: MemoryStore) -> Rows:
    tables = store.tables
    # The lowest layer is all there is between transactions, and the layers' own way of looking things up is a slow one.
    return Rows(
        now=store.now(),
        webhooks={key: _with_options(each) for key, each in tables.webhooks.maps[0].items()},
        health={each: tables.health.get(each) or EndpointHealth(each) for each in tables.webhooks},
        events={**tables.events.maps[0]},
        deliveries={**tables.deliveries.maps[0]},
        attempts={**tables.attempts.maps[0]},
        replays={**tables.replays.maps[0]},
        redeliveries=[each for records in tables.redeliveries.values() for each in records],
    )


def _with_options(webhook: WebhookConfig) -> SimpleNamespace:
    """Return an endpoint with its options and what it was asked as columns, as the database has them."""
    own = {each.name: getattr(webhook, each.name) for each in fields(webhook) if each.name != "options"}
    asked = webhook.verification
    own["challenge_event_id"] = None if asked.challenge is None else asked.challenge.event_id
    own |= {"unverified_since": asked.unverified_since, "pending_url": asked.pending_url}
    return SimpleNamespace(
        **own, **{each.name: getattr(webhook.options, each.name) for each in fields(webhook.options)}
    )


class PostgresTables:
    """Empties the database and reads it, by a connection of its own."""

    def __init__(self, connection: psycopg.Connection, world: World, empty: Emptier) -> None:
        """``connection`` commits by itself; ``world`` is the database as the suite uses it."""
        self._connection = connection
        self._empty = empty
        self._world = world
        self._passed = timedelta(0)
        self._columns: dict[str, list[str]] = {}
        self._rows: Rows | None = None
        self._written: object = None

    def emptied(self) -> Opened:
        """Offer the database, emptied."""
        self._empty()
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
