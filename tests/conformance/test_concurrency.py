"""Many at once: each promise of a store holds for threads that race for the same thing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from threading import Barrier
from typing import TYPE_CHECKING, TypeVar

import pytest

from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.errors import PreconditionError
from tests.conformance.model.world import EXPIRED, SLACK
from tests.support.builders import a_recording, an_attempt_result, an_event
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from tests.conformance.model.world import World

T = TypeVar("T")


def at_once(count: int, act: Callable[[int], T]) -> list[T]:
    """Call ``act`` in that many threads, which all wait for the last one before they begin."""
    ready = Barrier(count, timeout=PATIENCE_S)

    def run(number: int) -> T:
        ready.wait()
        return act(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def test_one_claimer_of_many_gets_the_delivery(world: World) -> None:
    """Twenty workers with the same wake-up make one claim."""
    delivery = world.delivery(world.workspace())
    claims = at_once(20, lambda _: world.deliveries.claim([delivery.id], limit=5, lease_slack=SLACK))
    assert [claim.delivery.claim_no for claim in chain(*claims)] == [1]


def test_claimers_share_out_what_is_due(world: World) -> None:
    """Workers that top up at the same time get each delivery once, and all of them are taken in the end."""
    workspace_id = world.workspace()
    for _ in range(5):
        world.webhook(workspace_id)
    made = {each.id for _ in range(6) for each in world.dispatched(world.event(workspace_id))}

    def drain(_: int) -> list[UUID]:
        taken: list[UUID] = []
        while claims := world.deliveries.claim([], limit=3, lease_slack=SLACK):
            taken += [claim.delivery.id for claim in claims]
        return taken

    taken = list(chain(*at_once(10, drain)))
    # One that skips what another has locked may go home early, but nothing is taken twice.
    taken += drain(0)
    assert len(taken) == len(set(taken)) == 30
    assert set(taken) == made


def test_fifty_publishers_of_one_key_make_one_event(world: World) -> None:
    """A key that is used by many at once stands for one event, and all of them get that one."""
    workspace_id = world.workspace()

    def publish(_: int) -> UUID:
        with world.units() as unit:
            event = an_event(workspace_id=workspace_id, idempotency_key="k", request_digest=b"same")
            stored = unit.events.append(event)
            unit.commit()
        return stored.id

    ids = at_once(50, publish)
    assert len(set(ids)) == 1
    with world.units() as unit:
        assert [event.id for event in unit.events.list_page(workspace_id, limit=99)] == ids[:1]


def test_dispatchers_do_not_get_in_each_others_way(world: World) -> None:
    """Many rounds over the same events make each delivery once."""
    workspace_id = world.workspace()
    for _ in range(4):
        world.webhook(workspace_id)
    events = [world.event(workspace_id).id for _ in range(5)]
    rounds = at_once(10, lambda _: world.deliveries.dispatch(events, limit=100))
    rounds.append(world.deliveries.dispatch(events, limit=100))
    made = [delivery_id for each in rounds for delivery_id in each.delivery_ids]
    assert len(made) == len(set(made)) == 20
    assert sum(each.events for each in rounds) == 5


def test_one_of_many_streams_gets_the_meeting(world: World) -> None:
    """Ten streams that begin at once make one recording."""
    meeting = world.meeting(world.workspace())

    def start(number: int) -> bool:
        with world.units() as unit:
            given = a_recording(meeting_id=meeting.id, workspace_id=meeting.workspace_id, server=f"server-{number}")
            begun = unit.meetings.start_recording(given)
            unit.commit()
        return begun

    assert sum(at_once(10, start)) == 1


def test_a_recording_is_ended_by_one_of_many(world: World) -> None:
    """Of ten that end a recording at once, one is told that it did."""
    meeting = world.meeting(world.workspace())
    begun = a_recording(meeting_id=meeting.id, workspace_id=meeting.workspace_id)
    with world.units() as unit:
        assert unit.meetings.start_recording(begun)
        unit.commit()

    def end(number: int) -> bool:
        with world.units() as unit:
            ended = unit.meetings.end_recording(begun.id, float(number))
            unit.commit()
        return ended

    assert sum(at_once(10, end)) == 1


def test_a_locked_meeting_is_changed_by_one_at_a_time(world: World) -> None:
    """Reading under a lock and writing what follows loses nothing."""
    meeting = world.meeting(world.workspace())

    def complete(_: int) -> bool:
        with world.units() as unit:
            found = unit.meetings.get(meeting.workspace_id, meeting.id, lock=True)
            assert found is not None
            if found.stopped_at is not None:
                return False
            unit.meetings.complete(meeting.id)
            unit.commit()
        return True

    assert sum(at_once(10, complete)) == 1


def test_a_delivery_is_sent_again_once(world: World) -> None:
    """Of ten that ask for it at once, one makes it due; the others are told that it is pending already."""
    workspace_id = world.workspace()
    delivery = world.delivery(workspace_id)
    world.attempt(delivery.id)

    def again(_: int) -> bool:
        try:
            return world.send_again(workspace_id, delivery.id).status is DeliveryStatus.PENDING
        except PreconditionError:
            return False

    assert sum(at_once(10, again)) == 1


def test_a_sweep_beside_a_late_worker_leaves_one_attempt(world: World) -> None:
    """Settling and taking back at the same moment, one of them wins, and the attempt is on record once."""
    delivery = world.delivery(world.workspace())
    claim = world.claim(delivery.id, slack=EXPIRED)
    acts = (
        lambda: int(world.settle(claim, an_attempt_result())),
        lambda: world.deliveries.reclaim_expired(limit=9),
    )
    won = at_once(8, lambda number: acts[number % 2]())
    assert sum(won) == 1
    assert len(world.attempts(delivery.id)) == 1


@pytest.mark.parametrize("limit", [1, 100])
def test_sweeps_take_each_delivery_back_once(world: World, limit: int) -> None:
    """Sweeps that run at the same time count each interruption once."""
    workspaces = [world.workspace() for _ in range(4)]
    deliveries = [world.delivery(workspace_id) for workspace_id in workspaces]
    assert len(world.deliveries.claim([], limit=9, lease_slack=EXPIRED)) == 4
    back = sum(at_once(6, lambda _: world.deliveries.reclaim_expired(limit=limit)))
    while more := world.deliveries.reclaim_expired(limit=limit):
        back += more
    assert back == 4
    for workspace_id, delivery in zip(workspaces, deliveries, strict=True):
        assert world.read(workspace_id, delivery.id).interruptions == 1
