"""What an endpoint's trouble leads to: it is disabled, and the workspace's other endpoints are told."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from noteflow_hooks.domain.deliveries import DeliveryStatus
from tests.conformance.model.throttling import claim, dispatch, endpoint, fail, settle
from tests.support.builders import a_failure, hours

if TYPE_CHECKING:
    from uuid import UUID

    from tests.conformance.model.world import World


def test_410_disables_at_once_and_skips_what_waits(world: World) -> None:
    """The delivery itself is dead; what waits is skipped with the reason; the others of the workspace are told."""
    webhook = endpoint(world)
    ids = dispatch(world, webhook, 3)
    settled = settle(world, list(claim(world, ids[:1], limit=1)), a_failure(status_code=410, error_message="HTTP 410"))
    gone, *waiting = (world.read(webhook.workspace_id, each) for each in ids)
    assert (gone.status, gone.error_message) == (DeliveryStatus.DEAD, "HTTP 410")
    with world.units() as unit:
        stored = unit.webhooks.get_by_id(webhook.id)
        [event_id] = settled.event_ids
        event = unit.events.get_by_id(event_id)
    assert stored is not None
    assert event is not None
    assert (stored.enabled, event.event_type) == (False, "webhook.disabled")
    assert "410 Gone" in (stored.disabled_reason or "")
    assert [(each.status, each.error_message) for each in waiting] == [("skipped", stored.disabled_reason)] * 2
    assert str(webhook.id).encode() in event.payload


def test_trouble_is_told_once_and_never_to_the_endpoint_itself(world: World) -> None:
    """Failing for an hour warns, failing for two disables: one event each, for the endpoint beside it."""
    world = world.under(breaker_failures=0, warn_after=hours(1), disable_after=hours(2), disable_span=hours(0))
    types = ("meeting.completed", "webhook.disabled", "webhook.failing")
    webhook = endpoint(world, events=types)
    other = world.webhook(webhook.workspace_id, events=types[1:])
    told: list[UUID] = []
    for _ in range(6):
        told += fail(world, webhook, 1).event_ids
        world.age(timedelta(minutes=30))
    with world.units() as unit:
        events = [unit.events.get_by_id(each) for each in told]
    assert [each and each.event_type for each in events] == ["webhook.failing", "webhook.disabled"]
    world.deliveries.dispatch(told, limit=9)
    with world.units() as unit:
        receivers = [each.webhook_id for event_id in told for each in unit.deliveries.get_by_event(event_id)]
    assert receivers == [other.id, other.id]


def test_no_event_tells_of_trouble_while_webhooks_are_switched_off(world: World) -> None:
    """The endpoint is disabled all the same."""
    world = world.under(tells=False)
    webhook = endpoint(world)
    dispatch(world, webhook)
    settled = settle(world, list(claim(world)), a_failure(status_code=410))
    assert list(settled.event_ids) == []
    with world.units() as unit:
        stored = unit.webhooks.get_by_id(webhook.id)
    assert stored is not None
    assert not stored.enabled
