"""Retention: what is settled goes once it is old, and nothing that is not settled ever does."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.paging import DeliveryFilter
from noteflow_hooks.domain.ports.maintenance import PurgeBatch
from noteflow_hooks.domain.replays import Replay
from noteflow_hooks.errors import NotFoundError
from tests.conformance.model.batching import SUCCESS, batched, end, members, taken
from tests.conformance.model.throttling import dispatch
from tests.conformance.model.world import SLACK
from tests.support.builders import a_failure, an_attempt_result, hours

if TYPE_CHECKING:
    from uuid import UUID

    from noteflow_hooks.domain.deliveries import WebhookDelivery
    from noteflow_hooks.domain.events import Event
    from noteflow_hooks.domain.paging import Position
    from tests.conformance.model.world import World

DAY = timedelta(days=1)
NO_TIME = timedelta(0)
NOTHING = PurgeBatch(0, None)
ECHO = "you said: Weekly"


def settled(world: World, workspace_id: UUID) -> tuple[Event, WebhookDelivery]:
    """Store an event whose only delivery succeeds at the second attempt; its endpoint must be there."""
    event = world.event(workspace_id)
    [delivery] = world.dispatched(event)
    for result in (a_failure(response_body=ECHO), an_attempt_result(response_body=ECHO)):
        assert world.settle(world.claim(delivery.id), result, wait=NO_TIME)
    return stored(world, event), world.read(workspace_id, delivery.id)


def unsettled(world: World, workspace_id: UUID, state: str) -> Event:
    """Store an event whose only delivery has failed once, or worked, and which is in that state by now."""
    webhook = world.webhook(workspace_id)
    if state == "undispatched":
        return world.event(workspace_id)
    event = world.event(workspace_id)
    [delivery] = world.dispatched(event)
    if state == "sent again":
        world.attempt(delivery.id)
        world.send_again(workspace_id, delivery.id)
        return stored(world, event)
    assert world.settle(world.claim(delivery.id), a_failure(), wait=NO_TIME)
    if state == "held":
        world.change(replace(webhook, rate_limit_per_s=1.0))
        assert world.deliveries.claim([], limit=1, lease_slack=SLACK).throttled == 1
    elif state == "sending":
        world.claim(delivery.id)
    return stored(world, event)


def stored(world: World, event: Event) -> Event:
    found = world.read_event(event)
    assert found is not None
    return found


def of(world: World, event: Event) -> list[WebhookDelivery]:
    """Return an event's deliveries."""
    with world.units() as unit:
        return list(unit.deliveries.get_by_event(event.id))


def erase_and_remove(world: World) -> int:
    """Erase and remove all that is settled, whatever its age; return how many events are gone."""
    world.retention.erase_payloads(NO_TIME, limit=99)
    return world.retention.remove_events(NO_TIME, limit=99).rows


def test_old_payloads_are_erased_with_what_was_answered(world: World) -> None:
    """Payload and answers go; everything else of event, delivery and attempts stays."""
    workspace_id = world.workspace()
    world.webhook(workspace_id)
    event, delivery = settled(world, workspace_id)
    attempts = world.attempts(delivery.id)
    assert world.retention.erase_payloads(NO_TIME, limit=9) == PurgeBatch(1, None)
    erased = stored(world, event)
    assert erased.payload_erased_at is not None
    assert erased == replace(event, payload=b"{}", payload_erased_at=erased.payload_erased_at)
    assert world.read(workspace_id, delivery.id) == delivery._replace(response_body=None)
    assert world.attempts(delivery.id) == [replace(each, response_body=None) for each in attempts]
    assert world.retention.erase_payloads(NO_TIME, limit=9) == NOTHING


def test_old_events_go_with_all_below_them(world: World) -> None:
    """Event, deliveries, attempts and redeliveries are gone; what belongs to another event stays."""
    workspace_id = world.workspace()
    world.webhook(workspace_id)
    event, delivery = settled(world, workspace_id)
    world.send_again(workspace_id, delivery.id)
    world.attempt(delivery.id)
    world.retention.erase_payloads(NO_TIME, limit=9)
    other, kept = settled(world, workspace_id)
    assert world.retention.remove_events(NO_TIME, limit=9) == PurgeBatch(1, None)
    assert world.read_event(event) is None
    with world.units() as unit:
        assert unit.deliveries.get_by_id(workspace_id, delivery.id) is None
        assert unit.deliveries.list_page(workspace_id, DeliveryFilter(), limit=9) == [kept]
        assert not unit.deliveries.attempts(delivery.id)
        assert not unit.deliveries.redeliveries(delivery.id)
        assert unit.events.list_page(workspace_id, limit=9) == [other]
    assert len(world.attempts(kept.id)) == 2


def test_an_event_without_deliveries_goes_too(world: World) -> None:
    """What nobody subscribed to is settled once it is dispatched."""
    event = world.event(world.workspace())
    assert world.dispatched(event) == []
    assert erase_and_remove(world) == 1
    assert world.read_event(event) is None


def test_what_has_its_payload_is_not_removed(world: World) -> None:
    """Erasing comes first."""
    event = world.event(world.workspace())
    assert world.dispatched(event) == []
    assert world.retention.remove_events(NO_TIME, limit=9) == NOTHING
    assert world.read_event(event) is not None


def test_what_is_not_old_enough_stays(world: World) -> None:
    """A row is old enough once its moment is so long ago by the store's clock, and not before."""
    workspace_id = world.workspace()
    webhook = world.webhook(workspace_id)
    settled(world, workspace_id)
    with world.units() as unit:
        replay = unit.replays.create(Replay.create(workspace_id, DeliveryFilter()))
        unit.replays.cancel(workspace_id, replay.id)
        unit.commit()
    retention = world.retention
    world.age(DAY)
    assert retention.erase_payloads(DAY + hours(1), limit=9) == NOTHING
    assert retention.erase_payloads(DAY, limit=9).rows == 1
    assert retention.remove_events(DAY + hours(1), limit=9) == NOTHING
    assert retention.remove_events(DAY, limit=9).rows == 1
    assert retention.remove_replays(DAY + hours(1), limit=9) == NOTHING
    assert retention.remove_replays(DAY, limit=9).rows == 1
    world.delete(webhook)
    world.age(DAY)
    assert retention.remove_webhooks(DAY + hours(1), limit=9) == NOTHING
    assert retention.remove_webhooks(DAY, limit=9).rows == 1


@pytest.mark.parametrize("state", ["undispatched", "pending", "held", "sending", "sent again"])
def test_what_is_not_settled_stays(world: World, state: str) -> None:
    """An event with anything left to do keeps its payload, its deliveries and their attempts, however old it is."""
    workspace_id = world.workspace()
    event = unsettled(world, workspace_id, state)
    world.age(DAY)
    before = stored(world, event), of(world, event), [world.attempts(each.id) for each in of(world, event)]
    assert (before[0].dispatched_at is None) == (state == "undispatched")
    assert [each.status in {DeliveryStatus.PENDING, DeliveryStatus.SENDING} for each in before[1]] in ([], [True])
    retention = world.retention
    for sweep in (retention.erase_payloads, retention.remove_attempts, retention.remove_events):
        assert sweep(NO_TIME, limit=9) == NOTHING
    assert (stored(world, event), of(world, event), [world.attempts(each.id) for each in of(world, event)]) == before


def test_one_open_delivery_keeps_the_whole_event(world: World) -> None:
    """Of an event that one endpoint has and another waits for, nothing goes but the first one's attempts."""
    workspace_id = world.workspace()
    for _ in range(2):
        world.webhook(workspace_id)
    event = world.event(workspace_id)
    done, waiting = world.dispatched(event)
    world.attempt(done.id)
    world.settle(world.claim(waiting.id), a_failure(), wait=NO_TIME)
    event, deliveries = stored(world, event), of(world, event)
    assert erase_and_remove(world) == 0
    assert world.retention.remove_attempts(NO_TIME, limit=9) == PurgeBatch(1, None)
    assert (stored(world, event), of(world, event)) == (event, deliveries)
    assert [len(world.attempts(each.id)) for each in (done, waiting)] == [0, 1]


def test_an_erased_event_with_an_attempt_under_way_stays(world: World) -> None:
    """Erased on request, it is removed once that attempt has ended."""
    workspace_id = world.workspace()
    delivery = world.delivery(workspace_id)
    claim = world.claim(delivery.id)
    with world.units() as unit:
        unit.events.erase_meeting(workspace_id, "m-1")
        unit.commit()
    assert erase_and_remove(world) == 0
    assert world.settle(claim, an_attempt_result())
    assert erase_and_remove(world) == 1


def test_a_delivery_without_its_old_attempts_goes_on_counting(world: World) -> None:
    """Attempts go alone; sent again, the delivery's next one has the next number."""
    workspace_id = world.workspace()
    world.webhook(workspace_id)
    _, delivery = settled(world, workspace_id)
    assert world.retention.remove_attempts(NO_TIME, limit=9) == PurgeBatch(2, None)
    assert not world.attempts(delivery.id)
    assert world.read(workspace_id, delivery.id) == delivery
    world.send_again(workspace_id, delivery.id)
    world.attempt(delivery.id)
    assert [each.attempt_number for each in world.attempts(delivery.id)] == [3]


def test_attempts_go_by_their_own_age(world: World) -> None:
    """An attempt is old once it was made so long ago, whatever the age of its delivery."""
    workspace_id = world.workspace()
    delivery = world.delivery(workspace_id)
    assert delivery.created_at is not None
    world.attempt(delivery.id, started_at=delivery.created_at)
    world.age(DAY)
    assert world.retention.remove_attempts(DAY + hours(1), limit=9) == NOTHING
    assert world.retention.remove_attempts(DAY, limit=9) == PurgeBatch(1, None)


def test_a_removed_events_key_is_free_again(world: World) -> None:
    """An idempotency key is remembered as long as its event."""
    workspace_id = world.workspace()
    first = world.event(workspace_id, idempotency_key="k", request_digest=b"one")
    assert world.dispatched(first) == []
    assert erase_and_remove(world) == 1
    assert world.event(workspace_id, idempotency_key="k", request_digest=b"another").id != first.id


def test_what_is_removed_can_not_be_sent_again(world: World) -> None:
    """It is not found, by its id and in a replay."""
    workspace_id = world.workspace()
    delivery = world.delivery(workspace_id)
    world.attempt(delivery.id)
    assert erase_and_remove(world) == 1
    with pytest.raises(NotFoundError):
        world.send_again(workspace_id, delivery.id)
    with world.units() as unit:
        asked = Replay.create(workspace_id, DeliveryFilter(status=DeliveryStatus.SUCCEEDED))
        assert unit.replays.preview(asked).matched == 0


def test_calls_go_on_where_the_last_one_came_to(world: World) -> None:
    """Old events that are not settled are passed by once, and not at each call."""
    workspace_id = world.workspace()
    world.webhook(workspace_id)
    made = [world.event(workspace_id) for _ in range(5)]
    for event in made[3:]:
        [delivery] = world.dispatched(event)
        world.attempt(delivery.id)
    found: list[int] = []
    cursor: Position | None = None
    while not found or cursor is not None:
        swept = world.retention.erase_payloads(NO_TIME, limit=2, after=cursor)
        found.append(swept.rows)
        cursor = swept.cursor
    assert found == [0, 1, 1]
    assert [stored(world, event).payload_erased_at is None for event in made] == [True] * 3 + [False] * 2


def test_a_full_call_may_have_been_the_last(world: World) -> None:
    """Where a call looked at as many rows as it may, the next one finds that there are no more."""
    workspace_id = world.workspace()
    for _ in range(4):
        assert world.dispatched(world.event(workspace_id)) == []
    first = world.retention.erase_payloads(NO_TIME, limit=4)
    assert first.rows == 4
    assert first.cursor is not None
    assert world.retention.erase_payloads(NO_TIME, limit=4, after=first.cursor) == NOTHING


def test_a_large_fan_out_goes_in_the_end(world: World) -> None:
    """However many deliveries the events have, no delivery of a removed event is left."""
    workspace_id = world.workspace()
    for _ in range(3):
        world.webhook(workspace_id)
    for _ in range(3):
        for delivery in world.dispatched(world.event(workspace_id)):
            world.attempt(delivery.id)
    for sweep in (world.retention.erase_payloads, world.retention.remove_events):
        swept = sweep(NO_TIME, limit=4)
        rows = swept.rows
        while swept.cursor is not None:
            swept = sweep(NO_TIME, limit=4, after=swept.cursor)
            rows += swept.rows
        assert rows == 3
    with world.units() as unit:
        assert unit.deliveries.list_page(workspace_id, DeliveryFilter(), limit=99) == []


def test_old_replays_go_once_what_they_sent_again_is_gone(world: World) -> None:
    """A running one stays, and so does one that deliveries still name."""
    workspace_id = world.workspace()
    delivery = world.delivery(workspace_id)
    world.attempt(delivery.id)
    asked = DeliveryFilter(status=DeliveryStatus.SUCCEEDED)
    with world.units() as unit:
        replay = unit.replays.create(Replay.create(workspace_id, asked, rate_per_s=10_000))
        unit.commit()
    assert world.retention.remove_replays(NO_TIME, limit=9) == NOTHING
    world.age(hours(1))
    with world.units() as unit:
        assert unit.replays.advance(limit=9) == 1
        unit.commit()
    [claim] = world.deliveries.claim_throttled(limit=1, slow=False, lease_slack=SLACK)
    assert world.settle(claim, an_attempt_result())
    assert world.retention.remove_replays(NO_TIME, limit=9).rows == 0
    assert erase_and_remove(world) == 1
    assert world.retention.remove_replays(NO_TIME, limit=9) == PurgeBatch(1, None)
    with world.units() as unit:
        assert unit.replays.get(workspace_id, replay.id) is None


@pytest.mark.parametrize("left", ["a delivery", "a test", "a replay"])
def test_deleted_endpoints_go_once_nothing_names_them(world: World, left: str) -> None:
    """Whatever names one keeps its row; an endpoint that is there is never removed."""
    workspace_id = world.workspace()
    webhook, kept = (world.webhook(workspace_id) for _ in range(2))
    sweep = world.retention.remove_webhooks
    if left == "a delivery":
        world.dispatched(world.event(workspace_id))
    elif left == "a test":
        world.event(workspace_id, target_webhook_id=webhook.id, meeting_id=None)
    else:
        with world.units() as unit:
            replay = unit.replays.create(Replay.create(workspace_id, DeliveryFilter(webhook_id=webhook.id)))
            unit.replays.cancel(workspace_id, replay.id)
            unit.commit()
    assert sweep(NO_TIME, limit=9) == NOTHING
    world.delete(webhook)
    assert sweep(NO_TIME, limit=9) == NOTHING
    world.change(replace(kept, enabled=False))
    world.deliveries.dispatch([], limit=9)
    erase_and_remove(world)
    world.retention.remove_replays(NO_TIME, limit=9)
    assert sweep(NO_TIME, limit=9) == PurgeBatch(1, None)
    with world.units() as unit:
        assert [each.id for each in unit.webhooks.get_all(workspace_id)] == [kept.id]


def test_a_batch_goes_once_no_delivery_names_it(world: World) -> None:
    """Its deliveries' events go first; one that is old and still named stays, and so does its endpoint."""
    webhook = batched(world)
    dispatch(world, webhook, 3)
    [batch] = taken(world)
    end(world, batch, SUCCESS)
    world.age(DAY)
    assert world.retention.remove_batches(DAY, limit=10) == NOTHING
    assert world.delete(webhook)
    world.age(DAY)
    for step in (world.retention.erase_payloads, world.retention.remove_events):
        assert step(DAY, limit=10).rows == 3
    assert world.retention.remove_webhooks(DAY, limit=10).rows == 0
    assert world.retention.remove_batches(3 * DAY, limit=10) == NOTHING
    assert world.retention.remove_batches(DAY, limit=10) == PurgeBatch(1, None)
    assert world.retention.remove_webhooks(DAY, limit=10).rows == 1


def test_a_batch_that_goes_on_is_kept_however_old(world: World) -> None:
    """What belongs to it is read from its row at each attempt."""
    dispatch(world, batched(world), 2)
    [batch] = taken(world)
    end(world, batch, a_failure(), wait=100 * DAY)
    world.age(100 * DAY)
    assert world.retention.remove_batches(DAY, limit=10) == NOTHING
    [again] = taken(world)
    assert (again.id, members(again)) == (batch.id, members(batch))
