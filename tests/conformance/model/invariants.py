"""What must be so after every step, of the rows as they are and of what the product says of them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from noteflow_hooks.domain.paging import DeliveryFilter
from tests.conformance.model.batch_checks import check_membership
from tests.conformance.model.claim_gates import cap
from tests.conformance.model.delivery_tracks import as_recorded
from tests.conformance.model.rows import due_of, keeps_back, rate_of, shown

if TYPE_CHECKING:
    from uuid import UUID

    from tests.conformance.model.delivery_tracks import Track
    from tests.conformance.model.ledger import Ledger
    from tests.conformance.model.rows import Opened, Rows


class Inspector:
    """Checks one store against its ledger."""

    def __init__(self, opened: Opened, ledger: Ledger) -> None:
        """Look at nothing yet."""
        self._opened = opened
        self._ledger = ledger
        self._listed: object = None

    def check(self) -> Rows:
        """Check all of it; return the rows."""
        rows, ledger = self._opened.read(), self._ledger
        _check_events(rows, ledger)
        assert rows.deliveries.keys() == ledger.tracks.keys(), "deliveries came or went by themselves"
        for delivery_id, track in ledger.tracks.items():
            _check_state(rows.deliveries[delivery_id], track)
            _check_words(rows.deliveries[delivery_id])
            _check_attempts(rows, delivery_id, track)
        for webhook_id in rows.webhooks:
            _check_endpoint(rows, webhook_id, ledger)
        check_membership(rows, ledger)
        _check_redeliveries(rows, ledger)
        listed = _listed(rows)
        if listed != self._listed:
            _check_lists(self._opened, rows)
            self._listed = listed
        return rows


def _check_events(rows: Rows, ledger: Ledger) -> None:
    assert rows.events.keys() == ledger.events.keys(), "events came or went by themselves"
    for event_id, event in ledger.events.items():
        row = rows.events[event_id]
        assert (row.dispatched_at is not None) == event.is_dispatched
        assert (row.payload_erased_at is not None) == event.is_erased
        assert row.payload == (b"{}" if event.is_erased else event.payload)


def _check_state(row: Any, track: Track) -> None:  # noqa: ANN401 - a row of either store
    assert (row.event_id, row.webhook_id) == (track.event_id, track.webhook_id)
    found = (row.status, row.claim_no, row.attempt_count, row.budget_used, row.interruptions, row.forced)
    expected = (track.status, track.claim_no, len(track.attempts), track.failures, track.interruptions, track.forced)
    assert row.rendering == track.rendering
    assert found == expected, "status, claims, attempts, budget used, interruptions, forced"
    assert row.error_message == track.message
    assert row.error_kind == (track.attempts[-1].error_kind if track.attempts else None)
    assert (row.skip_reason == "filtered") == track.is_filtered
    if track.last is None:
        assert (row.status_code, row.response_body, row.duration_ms) == (None, None, None)
    else:
        assert (row.status_code, row.response_body) == (track.last.status_code, track.last.response_body)
        assert track.last.duration_ms in {None, row.duration_ms}
    assert row.delivered_at is None if track.delivered is None else track.delivered.has(row.delivered_at)
    assert row.next_attempt_at is None if track.due is None else track.due.has(due_of(row))
    assert row.lease_expires_at is None if track.lease is None else track.lease.has(row.lease_expires_at)


def _check_words(row: Any) -> None:  # noqa: ANN401 - a row of either store
    """Check what the database's CHECK constraints say; the store in memory has none."""
    assert (row.status == "pending") == (row.next_attempt_at is not None)
    assert (row.status == "sending") == (row.lease_expires_at is not None)
    assert (row.status == "succeeded") == (row.delivered_at is not None)
    assert row.status != "succeeded" or 200 <= row.status_code <= 299
    assert not row.held or row.status == "pending"
    assert not row.forced or (row.status == "pending" and not row.held)


def _check_attempts(rows: Rows, delivery_id: UUID, track: Track) -> None:
    attempts = rows.attempts.get(delivery_id, ())
    assert [each.attempt_number for each in attempts] == list(range(1, len(track.attempts) + 1))
    for attempt, expected in zip(attempts, track.attempts, strict=True):
        assert as_recorded(attempt, expected) == expected
    if track.status == "succeeded":
        assert track.attempts, "succeeded without an attempt"
        assert track.attempts[-1].error_kind is None


def _check_endpoint(rows: Rows, webhook_id: UUID, ledger: Ledger) -> None:
    webhook, health, endpoint = rows.webhooks[webhook_id], rows.health[webhook_id], ledger.endpoints[webhook_id]
    assert health.failures == endpoint.failures
    assert (health.failing_since is not None) == (endpoint.failing is not None)
    assert (health.warned_at is not None) == endpoint.warned
    if endpoint.open_until is None:
        assert health.open_until is None, "the breaker is open without a reason"
    else:
        assert endpoint.open_until.has(health.open_until), "the breaker is not open until then"
    if not rows.held(webhook_id) or keeps_back(webhook):
        return
    assert health.turn_at is not None, "held without a turn"
    limited = rate_of(webhook) is not None or health.open_until is not None
    if not limited and rows.posts(webhook_id) < cap(rows, webhook_id, ledger.rules):
        wait = timedelta(milliseconds=webhook.batch_wait_ms if webhook.batch_max else 0)
        ready = min(max(each.next_attempt_at, each.created_at + wait) for each in rows.held(webhook_id))
        assert health.turn_at <= max(rows.now, ready), "there is room, and no turn to take it"


def _check_redeliveries(rows: Rows, ledger: Ledger) -> None:
    found: dict[UUID, list[UUID | None]] = {}
    for each in rows.redeliveries:
        found.setdefault(each.delivery_id, []).append(each.replay_id)
    assert found == {each: replays for each, replays in ledger.redeliveries.items() if replays}


def _listed(rows: Rows) -> object:
    """Return what lists and reasons depend on, but for the time: asking for them takes longer than all the rest."""
    return (
        {each.id: (each.status, each.held, each.forced) for each in rows.deliveries.values()},
        {each.id: (each.enabled, each.paused_at is None, shown(each)) for each in rows.webhooks.values()},
        {each.webhook_id: (each.open_until is None, each.slow_since is None) for each in rows.health.values()},
        {each.id: each.dispatched_at is None for each in rows.events.values()},
    )


def _check_lists(opened: Opened, rows: Rows) -> None:
    """Check that what is not delivered is listed, each with a reason, and nothing else."""
    for workspace_id in {each.workspace_id for each in rows.events.values()}:
        events = {each.id: each for each in rows.events.values() if each.workspace_id == workspace_id}
        waiting = {each.id for each in events.values() if each.dispatched_at is None}
        own = [each for each in rows.deliveries.values() if each.event_id in events]
        left = {each.id for each in own if each.status != "succeeded" and each.skip_reason != "filtered"}
        with opened.world.units() as unit:
            listed = unit.deliveries.undelivered_page(workspace_id, DeliveryFilter(), limit=1000)
            reasons = unit.deliveries.reasons([each.delivery for each in listed if each.delivery is not None])
        assert [each.id for each in listed] == [
            each.id for each in sorted(listed, key=lambda each: (each.created_at, each.id), reverse=True)
        ]
        assert len(listed) == len(waiting) + len(left)
        assert {each.id for each in listed} == waiting | left
        assert {each for each, reason in reasons.items() if reason} == left, "undelivered without a reason"
