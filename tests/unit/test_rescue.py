"""What relay and sweep find: expired leases, what is overdue, what was not dispatched, slots."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from tests.support.builders import an_event

if TYPE_CHECKING:
    from tests.support.delivery_system import System


def test_what_a_dead_worker_held_is_reclaimed_after_its_lease(system: System) -> None:
    """Not a moment earlier; then it is due again, with the interrupted attempt on record."""
    [delivery_id] = system.deliveries(1, timeout_ms=5000)
    system.store.claim([delivery_id], limit=1, lease_slack=timedelta(seconds=10))
    system.pass_time(timedelta(milliseconds=14_999))
    assert system.rescue.reclaim_expired() == 0
    system.pass_time(timedelta(milliseconds=1))
    assert system.rescue.reclaim_expired() == 1
    with system.unit() as unit:
        assert [each.error_kind for each in unit.deliveries.attempts(delivery_id)] == ["interrupted"]
    assert str(system.deliver([delivery_id])) == "1 succeeded"


def test_messages_don_t_pile_up_in_a_queue(system: System) -> None:
    """Of three chunks that are overdue, one is named where two wake-ups are queued, and none where three are."""
    system.deliveries(11)
    system.pass_time(timedelta(seconds=5))
    by = timedelta(seconds=5)
    assert [len(chunk) for chunk in system.rescue.overdue(by=by, queued=0)] == [5, 5, 1]
    assert len(system.rescue.overdue(by=by, queued=2)) == 1
    assert system.rescue.overdue(by=by, queued=3) == []
    assert system.rescue.overdue(by=timedelta(seconds=6), queued=0) == []


def test_the_relay_finds_what_was_not_dispatched(system: System) -> None:
    """A task is woken for an event once its grace is over, and no more once it is dispatched."""
    with system.unit() as unit:
        event = unit.events.append(an_event(workspace_id=system.workspace.id))
        unit.commit()
    grace = timedelta(seconds=5)
    assert system.rescue.undispatched(older_than=grace, queued=0) == []
    system.pass_time(grace)
    assert system.rescue.undispatched(older_than=grace, queued=0) == [[event.id]]
    assert system.rescue.undispatched(older_than=grace, queued=1) == []
    assert system.dispatched([event.id]) == []
    assert system.rescue.undispatched(older_than=grace, queued=0) == []


def test_the_sweep_wakes_for_slots_up_to_a_bound(system: System) -> None:
    """Thirty throttled deliveries are six chunks' wake-ups, less what is queued; never more than eight."""
    system.deliveries(1, max_concurrency=1)
    with system.unit() as unit:
        [webhook] = unit.webhooks.get_all(system.workspace.id)
        for _ in range(30):
            unit.events.append(an_event(workspace_id=system.workspace.id))
        unit.commit()
    system.dispatched()
    system.store.claim([], limit=31, lease_slack=timedelta(seconds=10))
    with system.unit() as unit:
        held = [each for each in unit.webhooks.get_deliveries(webhook.id, limit=99) if each.held]
    assert len(held) == 30
    assert system.rescue.wake_ups(queued=0, queued_slow=0) == (6, 0)
    assert system.rescue.wake_ups(queued=4, queued_slow=0) == (2, 0)
