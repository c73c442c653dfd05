"""Which endpoints an event's deliveries are made for, and that each gets exactly one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.events import WebhookEventType
from noteflow_hooks.domain.payloads import encode
from noteflow_hooks.domain.skipping import DISABLED
from tests.support.builders import a_delivery

if TYPE_CHECKING:
    from uuid import UUID

    from noteflow_hooks.domain.events import Event
    from noteflow_hooks.domain.webhooks import WebhookConfig
    from tests.conformance.model.world import World


def recipients(world: World, event: Event) -> set[UUID]:
    """Dispatch the event and return the endpoints that got a delivery of it."""
    return {each.webhook_id for each in world.dispatched(event)}


def a_test_of(webhook: WebhookConfig) -> dict[str, Any]:
    return {"event_type": WebhookEventType.WEBHOOK_TEST, "target_webhook_id": webhook.id, "meeting_id": None}


def test_an_event_goes_to_the_endpoints_that_subscribe(world: World) -> None:
    """Each subscribed endpoint gets one delivery that is due at once; the others get none."""
    workspace_id = world.workspace()
    chosen = {world.webhook(workspace_id).id for _ in range(2)}
    world.webhook(workspace_id, events=("summary.generated",))
    world.webhook(workspace_id, events=())
    event = world.event(workspace_id)
    made = world.deliveries.dispatch([event.id], limit=100)
    assert (len(made.delivery_ids), made.events, made.more) == (2, 1, False)
    with world.units() as unit:
        deliveries = unit.deliveries.get_by_event(event.id)
    assert {each.webhook_id for each in deliveries} == chosen
    assert {each.id for each in deliveries} == set(made.delivery_ids)
    for each in deliveries:
        assert each.created_at is not None
        expected = a_delivery(
            id=each.id,
            webhook_id=each.webhook_id,
            event_id=event.id,
            created_at=each.created_at,
            next_attempt_at=each.next_attempt_at,
        )
        assert each == expected
    assert set(world.deliveries.due(overdue_by=timedelta(0), limit=9)) == set(made.delivery_ids)


def test_an_event_goes_to_its_own_workspace(world: World) -> None:
    """An endpoint gets nothing of another workspace, whatever it subscribes to."""
    world.webhook(world.workspace())
    assert recipients(world, world.event(world.workspace())) == set()


def test_an_event_that_nobody_gets_is_dispatched_all_the_same(world: World) -> None:
    """No subscriber is no error: the event is finished with."""
    event = world.event(world.workspace())
    made = world.deliveries.dispatch([event.id], limit=100)
    assert (made.delivery_ids, made.events, made.more) == ((), 1, False)
    assert world.deliveries.undispatched(older_than=timedelta(0), limit=9) == []


def test_an_endpoint_made_after_the_event_does_not_get_it(world: World) -> None:
    """Only endpoints that were there before the event match it."""
    workspace_id = world.workspace()
    early = world.webhook(workspace_id)
    event = world.event(workspace_id)
    world.webhook(workspace_id)
    assert recipients(world, event) == {early.id}


def test_endpoints_count_as_they_are_at_dispatch(world: World) -> None:
    """One that subscribed after the event gets it, one that unsubscribed doesn't."""
    workspace_id = world.workspace()
    leaving, coming = world.webhook(workspace_id), world.webhook(workspace_id, events=())
    event = world.event(workspace_id)
    world.change(replace(leaving, events=()))
    world.change(replace(coming, events=("meeting.completed",)))
    assert recipients(world, event) == {coming.id}


def test_a_deleted_endpoint_gets_nothing(world: World) -> None:
    """Deleted before the dispatch, an endpoint gets no row at all."""
    webhook = world.webhook(world.workspace())
    event = world.event(webhook.workspace_id)
    world.delete(webhook)
    assert recipients(world, event) == set()


def test_a_disabled_endpoint_gets_a_skipped_row(world: World) -> None:
    """The row says why nothing is sent, so that it can be recovered, and is not among those that are due."""
    workspace_id = world.workspace()
    world.webhook(workspace_id, enabled=False, disabled_reason="It failed for five days.")
    event = world.event(workspace_id)
    made = world.deliveries.dispatch([event.id], limit=100)
    assert (made.delivery_ids, made.events) == ((), 1)
    [row] = world.dispatched(event)
    assert (row.status, row.error_message, row.attempt_count) == (DeliveryStatus.SKIPPED, DISABLED.message, 0)
    assert row.next_attempt_at is None
    assert world.deliveries.due(overdue_by=timedelta(0), limit=9) == []


def test_a_test_goes_to_its_target_alone(world: World) -> None:
    """A targeted event goes to one endpoint, whatever that and the others subscribe to."""
    workspace_id = world.workspace()
    target = world.webhook(workspace_id, events=())
    world.webhook(workspace_id)
    [delivery] = world.dispatched(world.event(workspace_id, **a_test_of(target)))
    assert delivery.webhook_id == target.id
    claim = world.claim(delivery.id)
    assert (claim.targeted, claim.reason_to_skip()) == (True, None)


def test_a_test_of_a_disabled_endpoint_is_skipped(world: World) -> None:
    """A disabled target gets a skipped row as for any event."""
    workspace_id = world.workspace()
    target = world.webhook(workspace_id, enabled=False)
    [delivery] = world.dispatched(world.event(workspace_id, **a_test_of(target)))
    assert (delivery.status, delivery.error_message) == (DeliveryStatus.SKIPPED, DISABLED.message)


def test_a_test_of_another_workspaces_endpoint_goes_nowhere(world: World) -> None:
    """A target in another workspace is no target."""
    target = world.webhook(world.workspace())
    assert recipients(world, world.event(world.workspace(), **a_test_of(target))) == set()


@pytest.mark.parametrize("event_type", ["webhook.failing", "webhook.disabled"])
def test_an_endpoints_trouble_is_not_told_to_itself(world: World, event_type: str) -> None:
    """The other subscribers hear that an endpoint keeps failing; that one never does."""
    workspace_id = world.workspace()
    failing, watching = (world.webhook(workspace_id, events=(event_type,)) for _ in range(2))
    payload = encode({"event": event_type, "webhook_id": str(failing.id), "reason": "HTTP 500"})
    event = world.event(workspace_id, event_type=event_type, payload=payload, meeting_id=None)
    assert recipients(world, event) == {watching.id}


def test_a_meeting_event_may_name_any_endpoint(world: World) -> None:
    """An extra ``webhook_id`` in a published payload keeps the event from nobody."""
    workspace_id = world.workspace()
    webhook = world.webhook(workspace_id)
    payload = encode({"event": "meeting.completed", "webhook_id": str(webhook.id)})
    assert recipients(world, world.event(workspace_id, payload=payload)) == {webhook.id}
