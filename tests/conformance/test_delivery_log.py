"""What integrators see of their deliveries, and how they have them sent again."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import pytest

from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.deliveries import DeliveryStatus, Settlement
from noteflow_hooks.domain.paging import DeliveryFilter, Position
from noteflow_hooks.domain.skipping import DISABLED
from noteflow_hooks.errors import InvalidTransitionError, NotFoundError, PreconditionError
from tests.conformance.model.world import EXPIRED
from tests.support.builders import NOON, a_failure, an_attempt_result, hours
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from noteflow_hooks.domain.deliveries import WebhookDelivery
    from tests.conformance.model.world import World


#: An attempt that ran into its time limit.
TIMEOUT: Final = an_attempt_result(
    status_code=None, response_body=None, error_kind=ErrorKind.TIMEOUT, error_message="Request timed out"
)


def listed(world: World, workspace_id: UUID, **criteria: Any) -> Sequence[WebhookDelivery]:  # noqa: ANN401 - the filter's fields
    with world.units() as unit:
        return unit.deliveries.list_page(workspace_id, DeliveryFilter(**criteria), limit=99)


def test_a_delivery_is_seen_by_its_workspace_alone(world: World) -> None:
    """Another workspace finds neither the delivery nor a way to send it again."""
    workspace_id, stranger = world.workspace(), world.workspace()
    delivery = world.delivery(workspace_id, enabled=False)
    with world.units() as unit:
        assert unit.deliveries.get_by_id(workspace_id, delivery.id) == delivery
        assert unit.deliveries.get_by_id(stranger, delivery.id) is None
        assert unit.deliveries.get_by_id(workspace_id, uuid4()) is None
    assert listed(world, stranger) == []
    for owner, delivery_id in ((stranger, delivery.id), (workspace_id, uuid4())):
        with pytest.raises(NotFoundError):
            world.send_again(owner, delivery_id)


def test_a_delivery_of_a_deleted_endpoint_can_t_be_sent_again(world: World) -> None:
    """There is nothing to send it to."""
    workspace_id = world.workspace()
    webhook = world.webhook(workspace_id)
    [delivery] = world.dispatched(world.event(workspace_id))
    world.attempt(delivery.id)
    world.delete(webhook)
    with pytest.raises(PreconditionError, match="deleted"):
        world.send_again(workspace_id, delivery.id)


def test_an_events_deliveries_are_its_own(world: World) -> None:
    """Deliveries are found by their event."""
    workspace_id = world.workspace()
    world.webhook(workspace_id)
    one, two = world.event(workspace_id), world.event(workspace_id)
    [first], [second] = world.dispatched(one), world.dispatched(two)
    assert (first.event_id, second.event_id) == (one.id, two.id)
    with world.units() as unit:
        assert unit.deliveries.get_by_event(uuid4()) == []


def test_deliveries_are_listed_by_endpoint_status_and_type(world: World) -> None:
    """Filters narrow the list, alone and together; without one it holds all of the workspace."""
    workspace_id = world.workspace()
    sent, skipped = world.webhook(workspace_id), world.webhook(workspace_id, enabled=False)
    event = world.event(workspace_id)
    by_endpoint = {each.webhook_id: each.id for each in world.dispatched(event)}
    world.attempt(by_endpoint[sent.id])
    world.delivery(world.workspace())
    first, second = by_endpoint[sent.id], by_endpoint[skipped.id]
    for criteria, expected in (
        ({}, {first, second}),
        ({"webhook_id": sent.id}, {first}),
        ({"status": DeliveryStatus.SKIPPED}, {second}),
        ({"status": DeliveryStatus.SUCCEEDED, "webhook_id": skipped.id}, set()),
        ({"event_type": "meeting.completed"}, {first, second}),
        ({"event_type": "summary.generated"}, set()),
        ({"webhook_id": uuid4()}, set()),
    ):
        assert {each.id for each in listed(world, workspace_id, **criteria)} == expected, criteria


def test_deliveries_are_listed_by_event_meeting_and_how_the_last_attempt_ended(world: World) -> None:
    """Alone, together and counted; of several statuses each will do, whatever the single one is."""
    workspace_id = world.workspace()
    webhook = world.webhook(workspace_id, max_retries=1)
    events = [world.event(workspace_id, meeting_id=each) for each in ("m-1", "m-1", "m-2", None)]
    late, refused, sent, waiting = (world.dispatched(each)[0].id for each in events)
    for delivery_id, result in ((late, TIMEOUT), (refused, a_failure()), (sent, an_attempt_result())):
        assert world.settle(world.claim(delivery_id), result)
    dead, succeeded, pending = DeliveryStatus.DEAD, DeliveryStatus.SUCCEEDED, DeliveryStatus.PENDING
    for criteria, expected in (
        ({"event_id": events[0].id}, {late}),
        ({"event_id": uuid4()}, set()),
        ({"meeting_id": "m-1"}, {late, refused}),
        ({"meeting_id": "m"}, set()),
        ({"error_kind": ErrorKind.TIMEOUT}, {late}),
        ({"error_kind": ErrorKind.DNS}, set()),
        ({"status_code": 503}, set()),
        ({"status_code": 200}, {sent}),
        ({"status_code": 500}, {refused}),
        ({"statuses": frozenset({dead, succeeded})}, {late, refused, sent}),
        ({"statuses": frozenset({pending})}, {waiting}),
        ({"statuses": frozenset({pending}), "status": dead}, {late, refused, waiting}),
        ({"statuses": frozenset(DeliveryStatus), "meeting_id": "m-2"}, {sent}),
        ({"meeting_id": "m-1", "error_kind": ErrorKind.STATUS, "webhook_id": webhook.id}, {refused}),
    ):
        assert {each.id for each in listed(world, workspace_id, **criteria)} == expected, criteria
        with world.units() as unit:
            assert unit.deliveries.count(workspace_id, DeliveryFilter(**criteria)) == len(expected), criteria
        assert listed(world, world.workspace(), **criteria) == []


def test_a_delivery_says_how_its_last_attempt_failed(world: World) -> None:
    """Until one succeeds; giving it back and sending it again change nothing of that."""
    workspace_id = world.workspace()
    world.webhook(workspace_id)
    [delivery] = world.dispatched(world.event(workspace_id))
    kinds = [delivery.error_kind]

    def note() -> None:
        kinds.append(world.read(workspace_id, delivery.id).error_kind)

    assert world.settle(world.claim(delivery.id), TIMEOUT, wait=timedelta(0))
    note()
    released = world.claim(delivery.id).delivery.released()
    world.deliveries.settle([Settlement(released, wait=timedelta(0))])
    note()
    world.claim(delivery.id, slack=EXPIRED)
    world.deliveries.reclaim_expired(limit=9)
    note()
    world.attempt(delivery.id)
    note()
    world.send_again(workspace_id, delivery.id)
    assert world.settle(world.claim(delivery.id), a_failure(), wait=timedelta(0))
    note()
    assert kinds == [None, "timeout", "timeout", "interrupted", None, "status"]


def test_deliveries_are_listed_by_time_from_and_before(world: World) -> None:
    """The first bound belongs to the range and the second doesn't."""
    workspace_id = world.workspace()
    delivery = world.delivery(workspace_id)
    made = delivery.created_at
    assert made is not None
    tick = timedelta(microseconds=1)
    for after, before, found in (
        (made, None, True),
        (made + tick, None, False),
        (None, made, False),
        (None, made + tick, True),
        (made, made + tick, True),
    ):
        page = listed(world, workspace_id, created_after=after, created_before=before)
        assert bool(page) is found, (after, before)


def test_pages_of_deliveries_are_newest_first_and_stable(world: World) -> None:
    """Pages line up without gaps or repetitions while deliveries change and new ones come."""
    workspace_id = world.workspace()
    webhook = world.webhook(workspace_id)
    made = [world.dispatched(world.event(workspace_id))[0] for _ in range(5)]
    with world.units() as unit:
        first = unit.deliveries.list_page(workspace_id, DeliveryFilter(webhook_id=webhook.id), limit=2)
    world.attempt(made[1].id)
    world.dispatched(world.event(workspace_id))
    assert first[-1].created_at is not None
    after = Position(first[-1].created_at, first[-1].id)
    with world.units() as unit:
        rest = unit.deliveries.list_page(workspace_id, DeliveryFilter(), limit=9, after=after)
    assert [each.id for each in (*first, *rest)] == [each.id for each in reversed(made)]


def test_pages_of_one_fan_out_hold_each_delivery_once(world: World) -> None:
    """Deliveries of one moment, as dispatching makes them, are each on exactly one page."""
    workspace_id = world.workspace()
    for _ in range(7):
        world.webhook(workspace_id)
    made = {each.id for each in world.dispatched(world.event(workspace_id))}
    seen: list[UUID] = []
    after = None
    with world.units() as unit:
        while page := unit.deliveries.list_page(workspace_id, DeliveryFilter(), limit=3, after=after):
            seen += [each.id for each in page]
            assert page[-1].created_at is not None
            after = Position(page[-1].created_at, page[-1].id)
    assert len(seen) == 7
    assert set(seen) == made


def test_attempts_are_listed_first_one_first(world: World) -> None:
    """Every POST is on record with its number and what came of it."""
    workspace_id = world.workspace()
    delivery = world.delivery(workspace_id, max_retries=3)
    results = [
        a_failure(started_at=NOON, response_body=None),
        a_failure(started_at=NOON + hours(1), status_code=429, error_message="HTTP 429", redialled=True),
        an_attempt_result(started_at=NOON + hours(2), response_body="grüß 😀"),
    ]
    assert world.attempts(delivery.id) == []
    for result in results:
        assert world.settle(world.claim(delivery.id), result, wait=timedelta(0))
    attempts = world.attempts(delivery.id)
    assert [each.attempt_number for each in attempts] == [1, 2, 3]
    assert {each.delivery_id for each in attempts} == {delivery.id}
    assert len({each.id for each in attempts}) == 3
    fields = ("started_at", "duration_ms", "status_code", "response_body", "error_kind", "error_message", "redialled")
    for attempt, result in zip(attempts, results, strict=True):
        assert [getattr(attempt, f) for f in fields] == [getattr(result, f) for f in fields]


def test_a_succeeded_delivery_may_be_sent_again(world: World) -> None:
    """It is due at once, counts its attempts on, and keeps its id."""
    workspace_id = world.workspace()
    delivery = world.delivery(workspace_id)
    world.attempt(delivery.id)
    again = world.send_again(workspace_id, delivery.id)
    assert world.read(workspace_id, delivery.id) == again
    assert (again.status, again.delivered_at) == (DeliveryStatus.PENDING, None)
    world.attempt(delivery.id)
    assert [each.attempt_number for each in world.attempts(delivery.id)] == [1, 2]
    assert world.read(workspace_id, delivery.id).status is DeliveryStatus.SUCCEEDED


def test_a_dead_delivery_gets_a_fresh_budget(world: World) -> None:
    """Sent again, it has all of ``max_retries`` once more, and the attempts count on."""
    workspace_id = world.workspace()
    delivery = world.delivery(workspace_id, max_retries=2)
    for _ in range(2):
        assert world.settle(world.claim(delivery.id), a_failure(), wait=timedelta(0))
    assert world.read(workspace_id, delivery.id).status is DeliveryStatus.DEAD
    world.send_again(workspace_id, delivery.id)
    assert world.settle(world.claim(delivery.id), a_failure(), wait=timedelta(0))
    alive = world.read(workspace_id, delivery.id)
    assert (alive.status, alive.attempt_count, alive.budget_used) == (DeliveryStatus.PENDING, 3, 1)


def test_a_skipped_delivery_may_be_recovered(world: World) -> None:
    """What was skipped while its endpoint was disabled is sent once it is enabled and asked for, and not before."""
    workspace_id = world.workspace()
    webhook = world.webhook(workspace_id, enabled=False)
    [delivery] = world.dispatched(world.event(workspace_id))
    assert (delivery.status, delivery.error_message) == (DeliveryStatus.SKIPPED, DISABLED.message)
    with pytest.raises(PreconditionError, match=f"webhook {webhook.id} is disabled; enable it"):
        world.send_again(workspace_id, delivery.id)
    assert world.read(workspace_id, delivery.id) == delivery
    world.change(replace(webhook, enabled=True))
    world.send_again(workspace_id, delivery.id)
    claim = world.claim(delivery.id)
    assert (claim.webhook.id, claim.reason_to_skip()) == (webhook.id, None)


def test_what_is_under_way_cannot_be_sent_again(world: World) -> None:
    """A pending or sending delivery is refused and stays as it is."""
    workspace_id = world.workspace()
    delivery = world.delivery(workspace_id)
    with pytest.raises(InvalidTransitionError, match="pending"):
        world.send_again(workspace_id, delivery.id)
    held = world.claim(delivery.id).delivery
    with pytest.raises(InvalidTransitionError, match="sending"):
        world.send_again(workspace_id, delivery.id)
    assert world.read(workspace_id, delivery.id) == held


def changed(world: World, workspace_ids: Sequence[UUID], since: datetime, until: datetime) -> list[tuple[UUID, str]]:
    with world.units() as unit:
        found = unit.deliveries.changes(workspace_ids, since=since, until=until)
    return [(each.delivery.id, each.delivery.status.value) for each in found]


def now_of(world: World) -> datetime:
    """Return the store's time, past the millisecond in which what was stored so far was stored."""
    began = horizon(world)
    until(lambda: horizon(world) >= began + timedelta(milliseconds=3), what="a few milliseconds have passed")
    return horizon(world)


def horizon(world: World) -> datetime:
    with world.units() as unit:
        return unit.deliveries.horizon()


def test_what_was_made_or_attempted_in_a_time_is_a_change_of_it(world: World) -> None:
    """In its window and in no other one, as it is now; with its event's meeting, and of these workspaces alone."""
    workspace_id, other = world.workspace(), world.workspace()
    for each in (workspace_id, other):
        world.webhook(each)
    begin = now_of(world)
    [delivery] = world.dispatched(world.event(workspace_id, meeting_id="m-7"))
    world.dispatched(world.event(other))
    made = now_of(world)
    world.attempt(delivery.id)
    end = now_of(world)
    assert changed(world, [workspace_id], begin, made) == [(delivery.id, "succeeded")]
    assert changed(world, [workspace_id], made, end) == [(delivery.id, "succeeded")]
    assert changed(world, [workspace_id], end, now_of(world)) == []
    assert len(changed(world, [workspace_id, other], begin, end)) == 2
    assert changed(world, [uuid4()], begin, end) == []
    with world.units() as unit:
        [change] = unit.deliveries.changes([workspace_id], since=begin, until=end)
        assert (change.workspace_id, change.meeting_id) == (workspace_id, "m-7")
        assert change.delivery == unit.deliveries.get_by_id(workspace_id, delivery.id)
        assert unit.deliveries.present([delivery.id, uuid4()]) == [change]
        assert unit.deliveries.present([]) == []
