"""The endpoints' health in PostgreSQL: whose turn it is, and what results say. Works in its caller's transaction.

Rows are locked in the order of the endpoints' ids, and after the deliveries that a transaction touches.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from noteflow_hooks.domain.health.circuit_breaker import HealthTransition, apply_results, transition_event
from noteflow_hooks.domain.health.scheduling import ENDPOINTS_PER_CLAIM, after_slot, allowed_now, fair_shares
from noteflow_hooks.domain.ids import ordered_id
from noteflow_hooks.domain.ports.delivery_store import SchedulingSlot
from noteflow_hooks.persistence.sql import health_statements as statements
from noteflow_hooks.persistence.sql.converters import HEALTH_FIELDS, health_to_domain
from noteflow_hooks.persistence.sql.outbox import insert_event

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from sqlalchemy import Connection

    from noteflow_hooks.domain.deliveries import Settlement
    from noteflow_hooks.domain.health.state import EndpointHealth, HealthRules
    from noteflow_hooks.domain.webhooks import WebhookConfig
    from noteflow_hooks.persistence.sql.converters import WebhookConverter


@dataclass(frozen=True, slots=True)
class OwnTurn:
    """An endpoint whose turn it is."""

    webhook: WebhookConfig
    health: EndpointHealth
    #: The database's clock.
    now: datetime
    room: int
    #: How many of its deliveries may be claimed in this turn.
    given: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of results: the endpoints' next turns, and the events that tell of trouble."""

    turns: Sequence[SchedulingSlot] = ()
    event_ids: Sequence[UUID] = ()


def next_turns(healths: Iterable[EndpointHealth], now: datetime) -> list[SchedulingSlot]:
    """Return when these endpoints have their next turn."""
    return [
        SchedulingSlot(wait=max(timedelta(0), each.turn_at - now), slow=each.slow_since is not None)
        for each in healths
        if each.turn_at is not None
    ]


class HealthKeeper:
    """Reads, judges and stores endpoints' health by the rules."""

    def __init__(self, converter: WebhookConverter, rules: HealthRules) -> None:
        """``converter`` makes endpoints of rows."""
        self._converter = converter
        self._rules = rules

    def turns(self, connection: Connection, *, limit: int, slow: bool) -> list[OwnTurn]:
        """Lock the endpoints whose turn it is, and deal out ``limit`` places among them."""
        statement = statements.SLOW_TURNS if slow else statements.QUICK_TURNS
        rows = connection.execute(statement, {"endpoints": min(ENDPOINTS_PER_CLAIM, limit)}).all()
        found = [(self._converter.config_to_domain(row), health_to_domain(row), row) for row in rows]
        rooms = [
            allowed_now(health, webhook, in_flight=row.in_flight, now=row.moment, rules=self._rules)
            for webhook, health, row in found
        ]
        return [
            OwnTurn(webhook, health, row.moment, room, given)
            for (webhook, health, row), room, given in zip(found, rooms, fair_shares(rooms, limit=limit), strict=True)
        ]

    def note_turns(
        self, connection: Connection, turns: Sequence[OwnTurn], claimed: Mapping[UUID, int], *, lease_slack: timedelta
    ) -> list[SchedulingSlot]:
        """Store what the turns leave behind, ``claimed`` deliveries by endpoint; return when the next turns are."""
        after = [
            after_slot(
                each.health,
                each.webhook,
                room=each.room,
                share=each.given,
                claimed=claimed.get(each.webhook.id, 0),
                now=each.now,
                lease=timedelta(milliseconds=each.webhook.timeout_ms) + lease_slack,
            )
            for each in turns
        ]
        _store(connection, after)
        return next_turns(after, turns[0].now)

    def judge(self, connection: Connection, settlements: Sequence[Settlement]) -> Verdict:
        """Store what the results say of their endpoints, and what follows: one is disabled, others are told."""
        rows = connection.execute(statements.HEALTH, {"ids": list({each.delivery.webhook_id for each in settlements})})
        changed: list[EndpointHealth] = []
        event_ids: list[UUID] = []
        now: datetime | None = None
        for row in rows.all():
            now = cast("datetime", row.moment)
            webhook, before = self._converter.config_to_domain(row), health_to_domain(row)
            results = [
                each.attempt
                for each in settlements
                if each.delivery.webhook_id == webhook.id and each.attempt is not None
            ]
            after, trouble = apply_results(before, webhook, results, now=now, rules=self._rules)
            if after != before:
                changed.append(after)
            if trouble is not None:
                event_ids += self._tell(connection, webhook, trouble, now)
        _store(connection, changed)
        return Verdict(next_turns(changed, now), event_ids) if now is not None else Verdict()

    def mark_slow(self, connection: Connection, webhook_ids: Collection[UUID]) -> None:
        """Send endpoints to the slow lane."""
        rows = connection.execute(statements.HEALTH, {"ids": list(webhook_ids)}).all()
        _store(connection, [health_to_domain(row).slowed(now=row.moment) for row in rows if row.slow_since is None])

    def _tell(
        self, connection: Connection, webhook: WebhookConfig, trouble: HealthTransition, now: datetime
    ) -> list[UUID]:
        """Disable the endpoint where the trouble says so, and record the event; return its id."""
        if trouble.disables:
            given = {"webhook_id": webhook.id, "reason": trouble.reason}
            if connection.execute(statements.DISABLE, given).one_or_none() is None:
                return []
            connection.execute(statements.SKIP_WAITING, {**given, "limit": statements.SKIPPED_AT_ONCE})
        if not self._rules.tells:
            return []
        event = transition_event(ordered_id(), webhook, trouble.event_type, trouble.reason, now=now)
        insert_event(connection, event)
        return [event.id]


def _store(connection: Connection, healths: Sequence[EndpointHealth]) -> None:
    if healths:
        connection.execute(statements.STORE_HEALTH, {"rows": json.dumps([_as_row(each) for each in healths])})


def _as_row(health: EndpointHealth) -> dict[str, Any]:
    return {name: _plain(getattr(health, name)) for name in HEALTH_FIELDS}


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value
