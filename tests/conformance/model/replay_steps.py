"""A replay's steps: each makes due the next ones of what matches, oldest first, as fast as the replay may."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from uuid import UUID

    from tests.conformance.model.delivery_tracks import Span
    from tests.conformance.model.ledger import Ledger
    from tests.conformance.model.rows import Rows

_UNDELIVERED: Final = ("dead", "skipped")


def check_step(ledger: Ledger, before: Rows, after: Rows, *, answer: int | None, limit: int, span: Span) -> None:
    """Check one step of one replay, whichever it is, and note it."""
    known = sum(map(len, ledger.redeliveries.values()))
    new = [each for each in after.redeliveries if each not in before.redeliveries]
    assert len(after.redeliveries) == known + len(new)
    stepped = [each for each in after.replays if after.replays[each] != before.replays[each]]
    assert len(stepped) == (answer is not None), "not one step of one replay"
    assert len(new) == (answer or 0) <= limit
    for replay_id in stepped:
        _check_page(ledger, before, after, replay_id, [each.delivery_id for each in new])
        for each in new:
            track = ledger.tracks[each.delivery_id]
            assert (each.replay_id, each.after_attempt) == (replay_id, len(track.attempts))
            assert each.previous_status == track.status
            ledger.sent_again(each.delivery_id, span, replay_id=replay_id)
        sending = ledger.replays[replay_id]
        sending.sent += [each.delivery_id for each in new]
        assert after.replays[replay_id].sent == len(sending.sent)
        passed = (span.latest - sending.begun.earliest).total_seconds()
        # Moments have microseconds only.
        assert len(sending.sent) <= passed * sending.rate_per_s + 0.001, "faster than it may"


def _check_page(ledger: Ledger, before: Rows, after: Rows, replay_id: UUID, sent: list[UUID]) -> None:
    left = _left(ledger, before, replay_id)
    assert set(sent) == set(left[: len(sent)]), "not the next ones"
    replay = after.replays[replay_id]
    assert before.replays[replay_id].state == "running"
    assert (replay.state == "done") == (len(left) == len(sent)), "done with something left, or going on with nothing"


def _left(ledger: Ledger, rows: Rows, replay_id: UUID) -> list[UUID]:
    """Return what matches and lies behind what was sent, in the order in which it goes."""
    sending, replay = ledger.replays[replay_id], rows.replays[replay_id]
    criteria = sending.criteria
    statuses = criteria.wanted or _UNDELIVERED
    takes_filtered = sending.include_filtered or "skipped" in criteria.wanted
    last = max((_place(rows.deliveries[each]) for each in sending.sent), default=None)
    matching = [
        each
        for each in rows.deliveries.values()
        if each.status in statuses
        and (takes_filtered or not ledger.tracks[each.id].is_filtered)
        and ledger.events[each.event_id].workspace_id == replay.workspace_id
        and not ledger.events[each.event_id].is_erased
        and rows.is_active(each.webhook_id)
        and not ledger.tracks[each.id].asks
        and criteria.webhook_id in (None, each.webhook_id)
        and criteria.event_type in (None, each.event_type)
        and criteria.error_kind in (None, each.error_kind)
        and criteria.status_code in (None, each.status_code)
        and each.created_at < replay.created_at
        and (last is None or _place(each) > last)
    ]
    return [each.id for each in sorted(matching, key=_place)]


def _place(row: Any) -> tuple[Any, UUID]:  # noqa: ANN401 - a row of either store
    return row.created_at, row.id
