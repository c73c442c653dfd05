"""The workers' half in memory: claims, settlements, what the sweep looks for. A call is one transaction."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast
from uuid import uuid4

from noteflow_hooks.domain.deliveries import (
    INTERRUPTED,
    AttemptResult,
    Claim,
    DeliveryStatus,
    ErrorKind,
    WebhookAttempt,
)
from noteflow_hooks.persistence.memory.dispatching import dispatch
from noteflow_hooks.persistence.memory.tables import age

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from noteflow_hooks.domain.deliveries import Settlement, WebhookDelivery
    from noteflow_hooks.domain.ports import Dispatched
    from noteflow_hooks.persistence.memory.store import MemoryStore, Session


class InMemoryDeliveryStore:
    """See :class:`noteflow_hooks.domain.ports.DeliveryStore`."""

    def __init__(self, store: MemoryStore) -> None:
        """Work on this store."""
        self._store = store

    def dispatch(self, event_ids: Sequence[UUID], *, limit: int) -> Dispatched:
        """Make deliveries of the named events, topped up with others that wait."""
        with self._store.transaction() as session:
            return dispatch(session, event_ids, limit=limit)

    def claim(self, delivery_ids: Sequence[UUID], *, limit: int, lease_slack: timedelta) -> list[Claim]:
        """Take up to ``limit`` due deliveries, the named ones first, then those that have waited longest."""
        named = set(delivery_ids)
        with self._store.transaction() as session:
            due = _due(session, overdue_by=timedelta(0))
            due.sort(key=lambda delivery: delivery.id not in named)
            return [_claimed(session, delivery, lease_slack=lease_slack) for delivery in due[:limit]]

    def settle(self, settlements: Sequence[Settlement]) -> set[UUID]:
        """Store results, each only under its own claim; return the ids of those that were."""
        with self._store.transaction() as session:
            return {each.delivery.id for each in settlements if _settled(session, each)}

    def waits(self, delivery_ids: Sequence[UUID]) -> Mapping[UUID, timedelta]:
        """Return how long those of the deliveries that are pending and not yet due have to wait."""
        with self._store.transaction() as session:
            now = session.now()
            stored = (session.tables.deliveries.get(delivery_id) for delivery_id in delivery_ids)
            pending = (each for each in stored if each and each.status is DeliveryStatus.PENDING)
            return {each.id: _due_at(each) - now for each in pending if _due_at(each) > now}

    def take_back(self, *, limit: int) -> int:
        """Take deliveries from workers that hold them past their lease; return how many."""
        with self._store.transaction() as session:
            now = session.now()
            sending = (d for d in session.tables.deliveries.values() if d.status is DeliveryStatus.SENDING)
            expired = sorted((d for d in sending if _lease_end(d) <= now), key=_lease_end)[:limit]
            for delivery in expired:
                _interrupt(session, delivery, now=now)
            return len(expired)

    def undispatched(self, *, older_than: timedelta, limit: int) -> list[UUID]:
        """Return events committed at least so long ago that are not dispatched, oldest first."""
        with self._store.transaction() as session:
            last = session.now() - older_than
            waiting = (each for each in session.tables.events.values() if each.dispatched_at is None)
            return [each.id for each in sorted(waiting, key=age) if age(each)[0] <= last][:limit]

    def due(self, *, overdue_by: timedelta, limit: int) -> list[UUID]:
        """Return deliveries that have been due for at least so long, longest first."""
        with self._store.transaction() as session:
            return [delivery.id for delivery in _due(session, overdue_by=overdue_by)[:limit]]


def _due(session: Session, *, overdue_by: timedelta) -> list[WebhookDelivery]:
    last = session.now() - overdue_by
    pending = (d for d in session.tables.deliveries.values() if d.status is DeliveryStatus.PENDING)
    return sorted((d for d in pending if _due_at(d) <= last), key=lambda d: (_due_at(d), d.id))


def _due_at(pending: WebhookDelivery) -> datetime:
    return cast("datetime", pending.next_attempt_at)


def _lease_end(sending: WebhookDelivery) -> datetime:
    return cast("datetime", sending.lease_expires_at)


def _claimed(session: Session, delivery: WebhookDelivery, *, lease_slack: timedelta) -> Claim:
    tables, now = session.tables, session.now()
    webhook, event = tables.webhooks[delivery.webhook_id], tables.events[delivery.event_id]
    lease_until = now + timedelta(milliseconds=webhook.timeout_ms) + lease_slack
    claimed = delivery.claimed(lease_until=lease_until)
    tables.deliveries[delivery.id] = claimed
    tables.claimed_at[delivery.id] = now
    return Claim(claimed, webhook, event.payload, targeted=event.target_webhook_id == webhook.id)


def _settled(session: Session, settlement: Settlement) -> bool:
    """Store a result unless the delivery has a new owner, or none, since it was claimed for it."""
    after, now = settlement.delivery, session.now()
    held = session.tables.deliveries.get(after.id)
    if held is None or held.status is not DeliveryStatus.SENDING or held.claim_no != after.claim_no:
        return False
    if after.status is DeliveryStatus.PENDING:
        wait = settlement.wait if settlement.wait is not None else timedelta(0)
        after = replace(after, next_attempt_at=now + wait)
    elif after.status is DeliveryStatus.SUCCEEDED:
        after = replace(after, delivered_at=now)
    session.tables.deliveries[after.id] = after
    if settlement.attempt is not None:
        _record(session, after, settlement.attempt)
    return True


def _interrupt(session: Session, delivery: WebhookDelivery, *, now: datetime) -> None:
    began = session.tables.claimed_at[delivery.id]
    # Nothing ran longer than its lease, however long ago that was.
    ended = now if delivery.lease_expires_at is None else min(now, delivery.lease_expires_at)
    duration_ms = max(0, round((ended - began) / timedelta(milliseconds=1)))
    after = delivery.interrupted(now=now, duration_ms=duration_ms)
    session.tables.deliveries[delivery.id] = after
    cut_off = AttemptResult(
        started_at=began,
        duration_ms=duration_ms,
        error_kind=ErrorKind.INTERRUPTED,
        error_message=INTERRUPTED,
    )
    _record(session, after, cut_off)


def _record(session: Session, after: WebhookDelivery, result: AttemptResult) -> None:
    attempt = WebhookAttempt(
        id=uuid4(),
        delivery_id=after.id,
        attempt_number=after.attempt_count,
        started_at=result.started_at,
        duration_ms=result.duration_ms,
        status_code=result.status_code,
        response_body=result.response_body,
        error_kind=result.error_kind,
        error_message=result.error_message,
    )
    before = session.tables.attempts.get(after.id, ())
    session.tables.attempts[after.id] = (*before, attempt)
