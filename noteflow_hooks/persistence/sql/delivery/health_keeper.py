"""The endpoints' health in PostgreSQL: who has a scheduling slot, and what results change. Its caller has begun.

Rows are locked in the order of the endpoints' ids, and after the deliveries that a transaction touches.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import UUID

from noteflow_hooks.domain.audit.telling import entry_of_disabling
from noteflow_hooks.domain.filters import NO_TROUBLE
from noteflow_hooks.domain.health.circuit_breaker import HealthTransition, apply_results, transition_event
from noteflow_hooks.domain.health.news import HealthNews, news_of
from noteflow_hooks.domain.health.scheduling import ENDPOINTS_PER_CLAIM
from noteflow_hooks.domain.health.slots import OwnSlot, SlotUse, deal_out
from noteflow_hooks.domain.ids import ordered_id
from noteflow_hooks.domain.mails import mail_about
from noteflow_hooks.domain.ports.delivery_store import SchedulingSlot, next_slots
from noteflow_hooks.domain.settling import results_of
from noteflow_hooks.domain.skipping import skip_by_system
from noteflow_hooks.persistence.sql import health_statements as statements
from noteflow_hooks.persistence.sql.audit_statements import add_entries, note_breakers
from noteflow_hooks.persistence.sql.converters import HEALTH_FIELDS, health_to_domain
from noteflow_hooks.persistence.sql.limits import SKIPPED_AT_ONCE
from noteflow_hooks.persistence.sql.mail_statements import add_mail

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import timedelta

    from sqlalchemy import Connection

    from noteflow_hooks.domain.deliveries import Settlement
    from noteflow_hooks.domain.health.state import EndpointHealth, HealthRules
    from noteflow_hooks.domain.webhooks import WebhookConfig
    from noteflow_hooks.persistence.sql.converters import WebhookConverter


_UNUSED: Final = SlotUse()


@dataclass(frozen=True, slots=True)
class HealthChanges:
    """What results have changed: the endpoints' next slots, and the events that tell other endpoints of it."""

    slots: Sequence[SchedulingSlot] = ()
    event_ids: Sequence[UUID] = ()
    news: Sequence[HealthNews] = ()


class HealthKeeper:
    """Reads endpoints' health, changes it by the rules, and stores it."""

    def __init__(self, converter: WebhookConverter, rules: HealthRules) -> None:
        """``converter`` makes endpoints of rows."""
        self._converter = converter
        self._rules = rules

    def slots(self, connection: Connection, *, limit: int, slow: bool) -> list[OwnSlot]:
        """Lock the endpoints that have a slot now, and deal out ``limit`` places among them."""
        statement = statements.SLOW_SLOTS if slow else statements.QUICK_SLOTS
        rows = connection.execute(statement, {"endpoints": min(ENDPOINTS_PER_CLAIM, limit)}).all()
        if not rows:
            return []
        endpoints = [(self._converter.config_to_domain(row), health_to_domain(row), row.in_flight) for row in rows]
        batched = {row.webhook_id for row in rows if row.batched}
        return deal_out(endpoints, limit=limit, now=rows[0].moment, rules=self._rules, batched=batched)

    def note_slots(
        self, connection: Connection, slots: Sequence[OwnSlot], used: Mapping[UUID, SlotUse], *, lease_slack: timedelta
    ) -> list[SchedulingSlot]:
        """Store what the slots leave behind, which were used so, by endpoint; return when the next slots are."""
        after = [each.used(used.get(each.webhook.id, _UNUSED), lease_slack=lease_slack) for each in slots]
        store_health(connection, after)
        return next_slots(after, now=slots[0].now)

    def apply(self, connection: Connection, settlements: Sequence[Settlement]) -> HealthChanges:
        """Store what the results change of their endpoints' health, and what follows from that."""
        rows = connection.execute(statements.HEALTH, {"ids": list({each.delivery.webhook_id for each in settlements})})
        changed: list[EndpointHealth] = []
        event_ids: list[UUID] = []
        news: list[HealthNews] = []
        breakers: dict[UUID, tuple[UUID, bool]] = {}
        now: datetime | None = None
        for row in rows.all():
            now = cast("datetime", row.moment)
            webhook, before = self._converter.config_to_domain(row), health_to_domain(row)
            results = results_of(settlements, webhook.id)
            after, transition = apply_results(before, webhook, results, now=now, rules=self._rules)
            if after != before:
                changed.append(after)
                if after.is_open != before.is_open:
                    breakers[webhook.id] = (webhook.workspace_id, after.is_open)
            news += news_of(before, after, webhook, transition)
            if transition is not None:
                event_ids += self._follow(connection, webhook, transition, now)
        store_health(connection, changed)
        if now is None:
            return HealthChanges()
        if breakers:
            note_breakers(connection, breakers, now=now)
        return HealthChanges(next_slots(changed, now=now), event_ids, news)

    def lock(self, connection: Connection, webhook_ids: Collection[UUID]) -> None:
        """Lock the health of these endpoints."""
        connection.execute(statements.LOCK_HEALTH, {"ids": list(webhook_ids)})

    def note_filter_errors(self, connection: Connection, settlements: Sequence[Settlement]) -> None:
        """Count what the endpoints' filters have failed on; their health is locked."""
        errors: dict[UUID, list[str]] = {}
        for each in settlements:
            errors.setdefault(each.delivery.webhook_id, []).append(str(each.filter_error))
        added = {key: NO_TROUBLE.after(own) for key, own in errors.items()}
        rows = [
            {"webhook_id": str(key), "errors": each.errors, "last_error": each.last_error}
            for key, each in added.items()
        ]
        if rows:
            connection.execute(statements.NOTE_FILTER_ERRORS, {"rows": json.dumps(rows)})

    def mark_slow(self, connection: Connection, webhook_ids: Collection[UUID]) -> list[HealthNews]:
        """Send endpoints to the slow lane; return the news of those that were not in it."""
        rows = connection.execute(statements.HEALTH, {"ids": list(webhook_ids)}).all()
        quick = [row for row in rows if row.slow_since is None]
        slowed = [health_to_domain(row).slowed(now=row.moment) for row in quick]
        store_health(connection, slowed)
        news: list[HealthNews] = []
        for row, after in zip(quick, slowed, strict=True):
            news += news_of(health_to_domain(row), after, self._converter.config_to_domain(row), None)
        return news

    def _follow(
        self, connection: Connection, webhook: WebhookConfig, transition: HealthTransition, now: datetime
    ) -> list[UUID]:
        """Disable the endpoint where the transition says so, and record the event; return its id."""
        if transition.disables:
            params = {"webhook_id": webhook.id, "reason": transition.reason}
            if connection.execute(statements.DISABLE, params).one_or_none() is None:
                return []
            skip = skip_by_system(transition.reason)._asdict()
            connection.execute(statements.SKIP_WAITING, {**params, **skip, "limit": SKIPPED_AT_ONCE})
            add_entries(connection, [entry_of_disabling(webhook, transition.reason, is_gone=transition.is_gone)])
        if not self._rules.tells:
            return []
        add_mail(connection, mail_about(webhook, transition.mail_kind, transition.reason))
        # Imported here: workers seldom need the tables' classes that come with it.
        from noteflow_hooks.persistence.sql.outbox import insert_event  # noqa: PLC0415 - as said

        event = transition_event(ordered_id(), webhook, transition.event_type, transition.reason, now=now)
        insert_event(connection, event)
        return [event.id]


def store_health(connection: Connection, healths: Sequence[EndpointHealth]) -> None:
    """Store the health of endpoints whose rows are locked."""
    if healths:
        connection.execute(statements.STORE_HEALTH, {"rows": json.dumps([_as_row(each) for each in healths])})


def _as_row(health: EndpointHealth) -> dict[str, Any]:
    return {name: _plain(getattr(health, name)) for name in HEALTH_FIELDS}


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value
