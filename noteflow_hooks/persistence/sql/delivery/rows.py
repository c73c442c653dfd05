"""The rows that the workers' statements return: each one's type makes the list of columns that it is read from.

So a column stands once, and nothing is read by its position.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from noteflow_hooks.domain.deliveries import Claim, DeliveryStatus, WebhookDelivery
from noteflow_hooks.persistence.sql.bounds import bounded_sql

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime, timedelta
    from uuid import UUID

    from noteflow_hooks.domain.webhooks import WebhookConfig


class ClaimRow(NamedTuple):
    """A delivery that was claimed, with what its POST needs, but for its endpoint: that one may have been read before.

    All are None in a row that only has a report beside it.
    """

    id: UUID
    webhook_id: UUID
    event_id: UUID
    event_type: str
    status_code: int | None
    response_body: str | None
    error_message: str | None
    attempt_count: int
    duration_ms: int | None
    budget_used: int
    interruptions: int
    claim_no: int
    payload: str
    targeted: bool
    erased: bool
    lease_expires_at: datetime
    created_at: datetime
    #: The version of the endpoint's row.
    version: str

    def to_claim(self, webhook: WebhookConfig) -> Claim:
        """Return the claim, with its endpoint."""
        delivery = WebhookDelivery(
            id=self.id,
            webhook_id=self.webhook_id,
            event_id=self.event_id,
            event_type=self.event_type,
            status=DeliveryStatus.SENDING,
            status_code=self.status_code,
            response_body=self.response_body,
            error_message=self.error_message,
            attempt_count=self.attempt_count,
            duration_ms=self.duration_ms,
            budget_used=self.budget_used,
            interruptions=self.interruptions,
            claim_no=self.claim_no,
            lease_expires_at=self.lease_expires_at,
            created_at=self.created_at,
        )
        return Claim(delivery, webhook, payload=self.payload.encode(), targeted=self.targeted, erased=self.erased)


#: What is no column of ``claimed`` as it stands there. Numbers are brought within what may stand there, see ``bounds``.
_CLAIM_EXPRESSIONS: Final = {
    "attempt_count": bounded_sql("claimed.attempt_count", "attempt_count"),
    "budget_used": bounded_sql("claimed.budget_used", "budget_used"),
    "interruptions": bounded_sql("claimed.interruptions", "interruptions"),
    "payload": "event.payload::text",
    "targeted": "event.target_webhook_id IS NOT NULL",
    "erased": "event.payload_erased_at IS NOT NULL",
    "version": "webhook.version",
}


class DispatchReport(NamedTuple):
    """What a round of dispatching made, beside what it claimed."""

    #: The new deliveries that are due at once: every workspace's first one comes before any workspace's second.
    delivery_ids: Sequence[UUID]
    throttled: bool
    throttled_slow: bool
    events: int
    more: bool


class ClaimReport(NamedTuple):
    """What a claim found, beside what it took."""

    throttled: int
    passed_over: bool
    slots_due: bool
    slow_slots_due: bool


class FloodedReport(NamedTuple):
    """When the endpoints that a claim took from may be claimed from next, and whether others have a slot now."""

    waits: Sequence[timedelta]
    slots_due: bool


class SettledRow(NamedTuple):
    """A result that was stored, and what it says of its endpoint."""

    id: UUID
    claim_no: int
    #: The endpoint's health is to be examined: something notable has happened, or it was not well before.
    examined: bool
    #: The endpoint has a scheduling slot now.
    has_slot: bool

    @property
    def fencing_key(self) -> tuple[UUID, int]:
        """The claim that the result was stored under."""
        return self.id, self.claim_no


def columns(row: type[Any], expressions: Mapping[str, str] | None = None, *, table: str = "") -> str:
    """Return the list of columns that makes such rows, out of expressions by name, or the table's own columns."""
    known = expressions if expressions is not None else {}
    return ", ".join(f"{known.get(name, f'{table}.{name}')} AS {name}" for name in row._fields)


def no_columns(row: type[Any]) -> str:
    """Return the list of columns where a part of a statement has no such row."""
    return ", ".join(f"NULL AS {name}" for name in row._fields)


#: The columns of a claim, of ``claimed``, ``event`` and ``webhook``.
CLAIM_COLUMNS: Final = columns(ClaimRow, _CLAIM_EXPRESSIONS, table="claimed")
_CLAIM_WIDTH: Final = len(ClaimRow._fields)
_ID: Final = ClaimRow._fields.index("id")


def claims_of(rows: Iterable[Sequence[Any]]) -> list[ClaimRow]:
    """Return the claims out of rows that begin with one, or with nothing where there is only a report."""
    return [ClaimRow._make(row[:_CLAIM_WIDTH]) for row in rows if row[_ID] is not None]


def report_of(row: Sequence[Any]) -> Sequence[Any]:
    """Return what comes behind the claim in such a row."""
    return row[_CLAIM_WIDTH:]
