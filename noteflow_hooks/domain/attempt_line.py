"""The one line that each attempt gets in the log: what it says, at which level, and its fields, always the same."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, NamedTuple

from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.deliveries import DeliveryStatus

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from noteflow_hooks.domain.deliveries import AttemptResult, Settlement, WebhookDelivery

#: What an operator needs to know beyond the attempt's message, which is the tenant's to read.
_ADVICE: Final = {
    ErrorKind.ADDRESS_NOT_ALLOWED: "; NOTEFLOW_HOOKS_EGRESS_ALLOW, NOTEFLOW_HOOKS_EGRESS_PORTS or a proxy can allow it"
}
#: The fields of an attempt's line, in their order. docs/logs.md says what each means.
ATTEMPT_FIELDS: Final = (
    "event",
    "event_type",
    "delivery",
    "batch",
    "members",
    "webhook",
    "workspace",
    "host",
    "attempt",
    "outcome",
    "kind",
    "status",
    "duration_ms",
    "next",
    "next_at",
    "error",
)


class Destination(NamedTuple):
    """Where an attempt went; the parts are None where nobody knows any more."""

    webhook_id: UUID
    workspace_id: UUID | None
    host: str | None


class Line(NamedTuple):
    """What is logged."""

    level: int
    text: str
    fields: dict[str, object]


def attempt_line(
    settlement: Settlement,
    result: AttemptResult,
    to: Destination,
    *,
    now: datetime,
    is_kept: bool = True,
    members: int | None = None,
) -> Line:
    """Return the line of an attempt that ended ``now``; ``is_kept`` says whether its result counts.

    ``members`` is of how many events a batch was made, of which the settlement is one's.
    """
    delivery = settlement.delivery
    outcome = outcome_of(delivery) if is_kept else "lost"
    next_step, next_at = _next(settlement, now) if is_kept else ("none", None)
    values = (
        str(delivery.event_id),
        str(delivery.event_type),
        str(delivery.id),
        None if settlement.batch_id is None else str(settlement.batch_id),
        members,
        str(to.webhook_id),
        None if to.workspace_id is None else str(to.workspace_id),
        to.host,
        delivery.attempt_count,
        outcome,
        None if result.error_kind is None else str(result.error_kind),
        result.status_code,
        result.duration_ms,
        next_step,
        next_at,
        result.error_message,
    )
    return Line(
        _level(result, is_kept=is_kept),
        _text(delivery, result, is_kept=is_kept),
        dict(zip(ATTEMPT_FIELDS, values, strict=True)),
    )


def death_line(settlement: Settlement, to: Destination) -> Line:
    """Return the line of a delivery that is dead: nothing sends it again by itself."""
    delivery = settlement.delivery
    return Line(
        logging.WARNING,
        f"delivery {delivery.id} is dead after {delivery.attempt_count} attempts: {delivery.error_message}",
        {
            "event": str(delivery.event_id),
            "delivery": str(delivery.id),
            "webhook": str(to.webhook_id),
            "workspace": None if to.workspace_id is None else str(to.workspace_id),
            "host": to.host,
            "attempt": delivery.attempt_count,
        },
    )


def outcome_of(delivery: WebhookDelivery) -> str:
    """Return what has become of it in a word: its status, or ``retrying`` where another attempt follows."""
    return "retrying" if delivery.status is DeliveryStatus.PENDING else delivery.status.value


def _level(result: AttemptResult, *, is_kept: bool) -> int:
    if result.error_kind is ErrorKind.INTERNAL:
        return logging.ERROR
    return logging.WARNING if result.error_kind is not None or not is_kept else logging.DEBUG


def _text(delivery: WebhookDelivery, result: AttemptResult, *, is_kept: bool) -> str:
    if not is_kept:
        return f"delivery {delivery.id} was reclaimed before its result was recorded"
    if result.error_kind is None:
        return "attempt succeeded"
    return f"attempt failed{_ADVICE.get(result.error_kind, '')}"


def _next(settlement: Settlement, now: datetime) -> tuple[str, str | None]:
    """Return what follows, and when that is: by this process's clock, to the millisecond."""
    if settlement.waits_for_slot:
        return "slot", None
    if settlement.delivery.status is not DeliveryStatus.PENDING:
        return "none", None
    at = now if settlement.wait is None else now + settlement.wait
    return "retry", at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
