"""The workers' half of the store, in PostgreSQL: every method one short transaction, none open during a POST."""

from __future__ import annotations

import json
import logging
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.domain.deliveries import (
    DISABLED,
    ERASED,
    INTERRUPTED,
    AttemptResult,
    Claim,
    DeliveryStatus,
    ErrorKind,
    Settlement,
    WebhookDelivery,
)
from noteflow_hooks.domain.health import HealthRules
from noteflow_hooks.domain.ports import Claimed, Dispatched, Held, Settled
from noteflow_hooks.domain.turns import BURST
from noteflow_hooks.domain.verdicts import is_notable
from noteflow_hooks.errors import UnavailableError
from noteflow_hooks.persistence import health_statements, statements
from noteflow_hooks.persistence.bounds import bounded
from noteflow_hooks.persistence.converters import DELIVERY_FIELDS, WebhookConverter
from noteflow_hooks.persistence.health_keeper import HealthKeeper, Verdict

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime, timedelta
    from uuid import UUID

    from sqlalchemy import Connection, Row
    from sqlalchemy.engine import Engine

    from noteflow_hooks.crypto import SecretBox

log = logging.getLogger(__name__)

_DAMAGED: Final = "Damaged: its row in the database holds what it may not"
#: What an integer column holds at the most.
_MOST: Final = 2**31 - 1
#: How many events beside the named ones a round of dispatching takes at the most.
_OTHER_EVENTS: Final = 100
_STATE_COLUMNS: Final = (
    "claim_no",
    "status",
    "status_code",
    "response_body",
    "error_message",
    "attempt_count",
    "duration_ms",
    "budget_used",
    "interruptions",
)


class SqlAlchemyDeliveryStore:
    """See :class:`noteflow_hooks.domain.ports.DeliveryStore`."""

    def __init__(self, engine: Engine, box: SecretBox, rules: HealthRules | None = None) -> None:
        """``box`` opens the endpoints' secrets; ``rules`` judge the endpoints' health."""
        self._engine = engine
        self._converter = WebhookConverter(box)
        self._rules = rules if rules is not None else HealthRules()
        self._health = HealthKeeper(self._converter, self._rules)

    def dispatch(self, event_ids: Sequence[UUID], *, limit: int) -> Dispatched:
        """Make deliveries of the named events, topped up with others that wait; at most ``limit`` deliveries."""
        with self._engine.begin() as connection:
            row = connection.execute(
                statements.DISPATCH,
                {
                    "ids": list(event_ids),
                    "others": _OTHER_EVENTS,
                    "limit": limit,
                    "burst": BURST,
                    "disabled": DISABLED,
                },
            ).one()
        return Dispatched(
            delivery_ids=tuple(row.delivery_ids),
            events=row.events,
            more=row.more,
            turns=row.turns,
            slow_turns=row.slow_turns,
        )

    def claim(self, delivery_ids: Sequence[UUID], *, limit: int, lease_slack: timedelta) -> Claimed:
        """Take up to ``limit`` due deliveries, the named ones first, and hold what may not go."""
        with self._engine.begin() as connection:
            rows = connection.execute(
                statements.CLAIM,
                {
                    "ids": list(delivery_ids),
                    "limit": limit,
                    "slack_s": lease_slack.total_seconds(),
                    "concurrency": self._rules.concurrency,
                },
            ).all()
        claims = self._claims([row for row in rows if row.delivery_id is not None])
        first = rows[0]
        return Claimed(
            claims,
            held=first.held_count,
            passed_over=first.passed_over,
            turns_due=first.turns_due,
            slow_turns_due=first.slow_turns_due,
        )

    def take_turns(self, *, limit: int, slow: bool, lease_slack: timedelta) -> Claimed:
        """Take up to ``limit`` held deliveries of the endpoints whose turn it is."""
        with self._engine.begin() as connection:
            turns = self._health.turns(connection, limit=limit, slow=slow)
            if not turns:
                return Claimed([])
            rows = connection.execute(
                statements.CLAIM_HELD,
                {
                    "webhook_ids": [each.webhook.id for each in turns],
                    "counts": [each.given for each in turns],
                    "slack_s": lease_slack.total_seconds(),
                },
            ).all()
            counts = Counter(row.id for row in rows)
            following = self._health.note_turns(connection, turns, counts, lease_slack=lease_slack)
        return Claimed(self._claims(rows), turns=following)

    def settle(self, settlements: Sequence[Settlement]) -> Settled:
        """Store results, each only under its own claim, and what they say of their endpoints."""
        if not settlements:
            return Settled(frozenset())
        with self._engine.begin() as connection:
            return self._settle(connection, settlements)

    def now(self) -> datetime:
        """Return the time by the database's clock."""
        with self._engine.begin() as connection:
            now: datetime = connection.execute(statements.NOW).scalar_one()
        return now

    def mark_slow(self, webhook_ids: Collection[UUID]) -> None:
        """Send these endpoints to the slow lane."""
        with self._engine.begin() as connection:
            self._health.mark_slow(connection, webhook_ids)

    def waits(self, delivery_ids: Sequence[UUID]) -> Mapping[UUID, timedelta]:
        """Return how long those of the deliveries that are pending and not yet due have to wait."""
        with self._engine.begin() as connection:
            rows = connection.execute(statements.WAITS, {"ids": list(delivery_ids)})
            return {row.id: row.wait for row in rows}

    def take_back(self, *, limit: int) -> int:
        """Take deliveries from workers that hold them past their lease; return how many."""
        with self._engine.begin() as connection:
            rows = connection.execute(statements.EXPIRED, {"limit": limit}).all()
            return self._take_back(connection, rows) if rows else 0

    def _take_back(self, connection: Connection, rows: Sequence[Row[Any]]) -> int:
        """Settle what was interrupted; what can't be settled ends, or it would keep the others from it for ever."""
        try:
            with connection.begin_nested():
                self._settle(connection, [self._interrupted(row) for row in rows])
        except UnavailableError:
            raise
        except Exception:
            # The boundary of a batch, and below of a row: whatever is wrong with one must not hold up the rest.
            log.exception("%d deliveries could not be taken back together", len(rows))
            if len(rows) == 1:
                connection.execute(statements.ABANDON, {"id": rows[0].id, "message": _DAMAGED})
            else:
                for row in rows:
                    self._take_back(connection, [row])
        return len(rows)

    def undispatched(self, *, older_than: timedelta, limit: int) -> list[UUID]:
        """Return events committed at least so long ago that no delivery was made of yet, oldest first."""
        with self._engine.begin() as connection:
            return list(connection.scalars(statements.UNDISPATCHED, {"age": older_than, "limit": limit}))

    def due(self, *, overdue_by: timedelta, limit: int) -> list[UUID]:
        """Return deliveries that have been due for at least so long, longest first."""
        with self._engine.begin() as connection:
            return list(connection.scalars(statements.DUE, {"age": overdue_by, "limit": limit}))

    def held(self, *, limit: int) -> Held:
        """Count the held deliveries of the endpoints whose turn it is, up to ``limit``."""
        with self._engine.begin() as connection:
            connection.execute(health_statements.FORGOTTEN)
            row = connection.execute(health_statements.HELD, {"limit": limit}).one()
        return Held(quick=row.quick, slow=row.slow)

    def _settle(self, connection: Connection, settlements: Sequence[Settlement]) -> Settled:
        rows = json.dumps([_as_row(each, self._rules) for each in settlements])
        found = connection.execute(statements.SETTLE, {"rows": rows, "erased": ERASED})
        stored = {row.id: row.looked_at for row in found}
        notable = [each for each in settlements if stored.get(each.delivery.id)]
        # One of an endpoint's results that is looked at calls for all of them, in their order.
        looked_at = {each.delivery.webhook_id for each in notable}
        kept = [each for each in settlements if each.delivery.id in stored and each.delivery.webhook_id in looked_at]
        verdict = self._health.judge(connection, kept) if kept else Verdict()
        return Settled(frozenset(stored), turns=verdict.turns, event_ids=verdict.event_ids)

    def _claims(self, rows: Sequence[Row[Any]]) -> list[Claim]:
        claims = []
        for row in rows:
            try:
                claims.append(self._claim(row))
            except Exception:
                # The boundary of a row: its lease runs out, and it is taken back, a few times and then for good.
                log.exception("delivery %s can't be read", row.delivery_id)
        return claims

    def _claim(self, row: Row[Any]) -> Claim:
        columns = bounded({name: getattr(row, name) for name in DELIVERY_FIELDS if name in _CLAIMED_AS_IS})
        delivery = WebhookDelivery(
            **columns,
            id=row.delivery_id,
            webhook_id=row.id,
            status=DeliveryStatus(row.status),
            created_at=row.delivery_created_at,
        )
        return Claim(
            delivery=delivery,
            webhook=self._converter.config_to_domain(row),
            payload=row.payload.encode(),
            targeted=row.target_webhook_id is not None,
            erased=row.payload_erased_at is not None,
        )

    def _interrupted(self, row: Row[Any]) -> Settlement:
        delivery = self._converter.delivery_to_domain(row)
        # Nothing ran longer than its lease, however long ago that was.
        ended_at = min(row.moment, row.lease_expires_at)
        duration_ms = min(max(0, round((ended_at - row.claimed_at).total_seconds() * 1000)), _MOST)
        after = delivery.interrupted(now=row.moment, duration_ms=duration_ms)
        attempt = AttemptResult(
            started_at=row.claimed_at,
            duration_ms=duration_ms,
            error_kind=ErrorKind.INTERRUPTED,
            error_message=INTERRUPTED,
        )
        return Settlement(delivery=replace(after, next_attempt_at=None), attempt=attempt)


_CLAIMED_AS_IS: Final = frozenset(DELIVERY_FIELDS) - {
    "id",
    "webhook_id",
    "status",
    "created_at",
    "next_attempt_at",
    "delivered_at",
}


def _as_row(settlement: Settlement, rules: HealthRules) -> dict[str, Any]:
    delivery = settlement.delivery
    row = {name: getattr(delivery, name) for name in _STATE_COLUMNS}
    wait_s = settlement.wait.total_seconds() if settlement.wait is not None else 0.0
    notable = settlement.attempt is not None and is_notable(settlement.attempt, rules)
    return row | {
        "id": str(delivery.id),
        "wait_s": wait_s,
        "notable": notable,
        "attempt": _attempt(settlement.attempt),
    }


def _attempt(result: AttemptResult | None) -> dict[str, Any] | None:
    if result is None:
        return None
    return {
        "started_at": result.started_at.isoformat(),
        "duration_ms": result.duration_ms,
        "status_code": result.status_code,
        "error_kind": result.error_kind,
        "error_message": result.error_message,
    }
