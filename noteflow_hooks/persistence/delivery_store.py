"""The workers' half of the store, in PostgreSQL: every method one short transaction, none open during a POST."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.domain.deliveries import (
    DISABLED,
    INTERRUPTED,
    AttemptResult,
    Claim,
    DeliveryStatus,
    ErrorKind,
    Settlement,
    WebhookDelivery,
)
from noteflow_hooks.domain.ports import Dispatched
from noteflow_hooks.persistence import statements
from noteflow_hooks.persistence.converters import DELIVERY_FIELDS, WebhookConverter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta
    from uuid import UUID

    from sqlalchemy import Connection, Row
    from sqlalchemy.engine import Engine

    from noteflow_hooks.crypto import SecretBox

#: How many events beside the named ones a round of dispatching takes at the most.
_OTHER_EVENTS: Final = 500
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

    def __init__(self, engine: Engine, box: SecretBox) -> None:
        """``box`` opens the endpoints' secrets."""
        self._engine = engine
        self._converter = WebhookConverter(box)

    def dispatch(self, event_ids: Sequence[UUID], *, limit: int) -> Dispatched:
        """Make deliveries of the named events, topped up with others that wait; at most ``limit`` deliveries."""
        with self._engine.begin() as connection:
            row = connection.execute(
                statements.DISPATCH,
                {"ids": list(event_ids), "others": _OTHER_EVENTS, "limit": limit, "disabled": DISABLED},
            ).one()
        return Dispatched(delivery_ids=tuple(row.delivery_ids), events=row.events, more=row.more)

    def claim(self, delivery_ids: Sequence[UUID], *, limit: int, lease_slack: timedelta) -> list[Claim]:
        """Take up to ``limit`` due deliveries, the named ones first."""
        with self._engine.begin() as connection:
            rows = connection.execute(
                statements.CLAIM,
                {"ids": list(delivery_ids), "limit": limit, "slack_s": lease_slack.total_seconds()},
            ).all()
        return [self._claim(row) for row in rows]

    def settle(self, settlements: Sequence[Settlement]) -> set[UUID]:
        """Store results, each only under its own claim; return the ids of those that were."""
        if not settlements:
            return set()
        with self._engine.begin() as connection:
            return _settle(connection, settlements)

    def waits(self, delivery_ids: Sequence[UUID]) -> Mapping[UUID, timedelta]:
        """Return how long those of the deliveries that are pending and not yet due have to wait."""
        with self._engine.begin() as connection:
            rows = connection.execute(statements.WAITS, {"ids": list(delivery_ids)})
            return {row.id: row.wait for row in rows}

    def take_back(self, *, limit: int) -> int:
        """Take deliveries from workers that hold them past their lease; return how many."""
        with self._engine.begin() as connection:
            rows = connection.execute(statements.EXPIRED, {"limit": limit}).all()
            if rows:
                _settle(connection, [self._interrupted(row) for row in rows])
        return len(rows)

    def undispatched(self, *, older_than: timedelta, limit: int) -> list[UUID]:
        """Return events committed at least so long ago that no delivery was made of yet, oldest first."""
        with self._engine.begin() as connection:
            return list(connection.scalars(statements.UNDISPATCHED, {"age": older_than, "limit": limit}))

    def due(self, *, overdue_by: timedelta, limit: int) -> list[UUID]:
        """Return deliveries that have been due for at least so long, longest first."""
        with self._engine.begin() as connection:
            return list(connection.scalars(statements.DUE, {"age": overdue_by, "limit": limit}))

    def _claim(self, row: Row[Any]) -> Claim:
        columns = {name: getattr(row, name) for name in DELIVERY_FIELDS if name in _CLAIMED_AS_IS}
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
        )

    def _interrupted(self, row: Row[Any]) -> Settlement:
        delivery = self._converter.delivery_to_domain(row)
        # Nothing ran longer than its lease, however long ago that was.
        ended_at = min(row.moment, row.lease_expires_at)
        duration_ms = max(0, round((ended_at - row.claimed_at).total_seconds() * 1000))
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


def _settle(connection: Connection, settlements: Sequence[Settlement]) -> set[UUID]:
    rows = json.dumps([_as_row(each) for each in settlements])
    return set(connection.scalars(statements.SETTLE, {"rows": rows}))


def _as_row(settlement: Settlement) -> dict[str, Any]:
    delivery = settlement.delivery
    row = {name: getattr(delivery, name) for name in _STATE_COLUMNS}
    wait_s = settlement.wait.total_seconds() if settlement.wait is not None else 0.0
    return row | {"id": str(delivery.id), "wait_s": wait_s, "attempt": _attempt(settlement.attempt)}


def _attempt(result: AttemptResult | None) -> dict[str, Any] | None:
    if result is None:
        return None
    return {
        "started_at": result.started_at.isoformat(),
        "duration_ms": result.duration_ms,
        "status_code": result.status_code,
        "response_body": result.response_body,
        "error_kind": result.error_kind,
        "error_message": result.error_message,
    }
