"""What is stored of a claimed delivery once its attempt has ended, or its lease has run out."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from noteflow_hooks.domain.attempts import INTERRUPTED, ErrorKind
from noteflow_hooks.domain.deliveries import (
    EXHAUSTED,
    INTERRUPTIONS_LIMIT,
    AttemptResult,
    DeliveryStatus,
    Settlement,
    WebhookDelivery,
)
from noteflow_hooks.domain.skipping import ERASED

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID

#: The longest duration that a store keeps, in milliseconds.
_LONGEST_MS: Final = 2**31 - 1


def stored(settlement: Settlement, before: WebhookDelivery | None, *, now: datetime) -> WebhookDelivery | None:
    """Return the delivery to store in place of ``before``; None where the settlement's claim is not the newest."""
    after = settlement.delivery
    if before is None or before.status is not DeliveryStatus.SENDING or before.claim_no != after.claim_no:
        return None
    if settlement.attempt is None:
        # What was answered before may have been erased meanwhile.
        after = after._replace(response_body=before.response_body)
    if before.error_message == ERASED.message:
        # Its payload was erased meanwhile, and the answer may repeat it.
        after = after._replace(response_body=None)
    if after.status is DeliveryStatus.PENDING:
        wait = settlement.wait if settlement.wait is not None else timedelta(0)
        # A challenge goes on passing breaker, limits and a pause.
        return after._replace(next_attempt_at=now + wait, forced=after.asks_to_verify, held=settlement.waits_for_slot)
    return after._replace(delivered_at=now) if after.status is DeliveryStatus.SUCCEEDED else after


def interruption(delivery: WebhookDelivery, *, claimed_at: datetime, now: datetime) -> Settlement:
    """Return what settles a delivery whose lease has run out: an attempt that was cut off."""
    # The attempt ended with its lease at the latest, however late that is noticed.
    ended_at = now if delivery.lease_expires_at is None else min(now, delivery.lease_expires_at)
    duration_ms = min(max(0, round((ended_at - claimed_at) / timedelta(milliseconds=1))), _LONGEST_MS)
    attempt = AttemptResult(
        started_at=claimed_at,
        duration_ms=duration_ms,
        error_kind=ErrorKind.INTERRUPTED,
        error_message=INTERRUPTED,
    )
    after = interrupted(delivery, now=now, duration_ms=duration_ms)
    return Settlement(delivery=after._replace(next_attempt_at=None), attempt=attempt, batch_id=delivery.batch_id)


def interrupted(delivery: WebhookDelivery, *, now: datetime, duration_ms: int | None = None) -> WebhookDelivery:
    """Reclaim a delivery from a worker whose lease has expired. It counts as an attempt, but against no budget."""
    after = delivery.released(INTERRUPTED)._replace(
        attempt_count=delivery.attempt_count + 1,
        interruptions=delivery.interruptions + 1,
        error_kind=ErrorKind.INTERRUPTED,
        status_code=None,
        response_body=None,
        duration_ms=duration_ms,
        next_attempt_at=now,
    )
    if after.interruptions < INTERRUPTIONS_LIMIT:
        return after
    message = f"{EXHAUSTED}{INTERRUPTED}"
    return after._replace(status=DeliveryStatus.DEAD, next_attempt_at=None, error_message=message)


def results_of(settlements: Iterable[Settlement], webhook_id: UUID) -> list[AttemptResult]:
    """Return the results of an endpoint's attempts, in their order; a delivery that was not sent has none.

    A batch has one result, which is a success where one of its members has succeeded. Those of challenges are left out:
    they may have gone to another URL, and say nothing of the endpoint's health.
    """
    ordinary = (each for each in settlements if not each.delivery.asks_to_verify)
    own = [each for each in ordinary if each.delivery.webhook_id == webhook_id and each.attempt is not None]
    results: list[AttemptResult | None] = []
    places: dict[UUID, int] = {}
    for each in own:
        place = None if each.batch_id is None else places.get(each.batch_id)
        if place is None:
            if each.batch_id is not None:
                places[each.batch_id] = len(results)
            results.append(each.attempt)
        elif not each.is_failure:
            results[place] = each.attempt
    return [each for each in results if each is not None]
