"""Deliveries as a caller sees them, tests, and sending one again."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from noteflow_hooks.application.deliveries import (
    delivery_of,
    list_deliveries,
    list_undelivered,
    read_delivery,
    record_test,
    redeliver,
)
from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.health.reasons import UNDISPATCHED
from noteflow_hooks.domain.paging import DeliveryFilter, Page
from noteflow_hooks.errors import NotFoundError, PreconditionError
from tests.support.builders import BY, a_delivery, an_event

if TYPE_CHECKING:
    from tests.support.application_world import World

EVERY = DeliveryFilter()
DEAD = {"status": DeliveryStatus.DEAD, "next_attempt_at": None, "error_message": "HTTP 500", "attempt_count": 3}
DELIVERED = {"status": DeliveryStatus.SUCCEEDED, "next_attempt_at": None, "status_code": 200, "attempt_count": 1}


def test_each_listed_delivery_has_the_reason_why_it_is_not_delivered(world: World) -> None:
    """One that is delivered has none."""
    webhook = world.webhook()
    dead, waiting, delivered = (world.delivery(webhook, **fields) for fields in (DEAD, {}, DELIVERED))
    views, total = world.do(lambda unit: list_deliveries(unit, world.workspace.id, EVERY, Page(counts=True)))
    assert total == 3
    assert [(each.id, each.reason) for each in views] == [
        (delivered.id, None), (waiting.id, "Due; waits for a worker"), (dead.id, "HTTP 500"),
    ]  # fmt: skip
    assert [each.is_final for each in views] == [True, False, True]
    assert views[0].created_at == delivered.created_at


def test_what_is_not_delivered_is_listed_with_events_that_wait_to_be_dispatched(world: World) -> None:
    """Each with its reason; what is delivered is not there."""
    webhook = world.webhook()
    world.delivery(webhook, **DELIVERED)
    dead = world.delivery(webhook, **DEAD)
    views, total = world.do(lambda unit: list_undelivered(unit, world.workspace.id, EVERY, Page(counts=True)))
    assert total == len(views)
    [row] = [each for each in views if each.undelivered.delivery is not None]
    assert (row.id, row.reason, row.created_at) == (dead.id, "HTTP 500", dead.created_at)
    events = [each for each in views if each.undelivered.delivery is None]
    assert {each.reason for each in events} == {UNDISPATCHED}
    assert {each.id for each in events} == {each.id for each in world.events()}


def test_a_delivery_is_read_with_all_that_is_known_of_it(world: World) -> None:
    """The payload as sent, the attempts, and each time that it was sent again."""
    delivery = world.delivery(world.webhook(), **DEAD)
    world.do(lambda unit: redeliver(unit, world.service, world.workspace.id, delivery.id, by=BY))
    view = world.do(lambda unit: read_delivery(unit, world.workspace.id, delivery.id))
    [event] = world.events()
    assert (view.delivery.id, view.payload, list(view.attempts)) == (delivery.id, event.payload, [])
    assert [each.previous_status for each in view.redeliveries] == [DeliveryStatus.DEAD]
    with pytest.raises(NotFoundError, match=f"delivery_id: no delivery {delivery.id} in this workspace"):
        world.do(lambda unit: read_delivery(unit, uuid4(), delivery.id))


def test_a_delivery_that_is_sent_again_is_due_and_workers_hear_of_it(world: World) -> None:
    """After the commit; the answer says what it waits for."""
    delivery = world.delivery(world.webhook(), **DEAD)
    with world.unit() as unit:
        redeliver(unit, world.service, world.workspace.id, delivery.id, by=BY)
    assert world.woken_for == []
    view = world.do(lambda unit: redeliver(unit, world.service, world.workspace.id, delivery.id, by=BY))
    assert (view.delivery.status, view.is_final) == (DeliveryStatus.PENDING, False)
    assert view.reason is not None
    assert view.reason.startswith("Due, as was asked for")
    assert world.woken_for == [delivery.id]


def test_a_delivery_that_is_under_way_is_not_sent_again(world: World) -> None:
    """It would go out twice."""
    delivery = world.delivery(world.webhook())
    with pytest.raises(PreconditionError):
        world.do(lambda unit: redeliver(unit, world.service, world.workspace.id, delivery.id, by=BY))
    assert world.woken_for == []


def test_a_test_is_an_event_for_its_endpoint_alone(world: World) -> None:
    """Workers hear of it; it has no delivery before they dispatch it."""
    webhook = world.webhook()
    event_id = world.do(lambda unit: record_test(unit, world.service, world.workspace.id, webhook.id, by=BY))
    [event] = world.events()
    assert (event.id, event.event_type, event.target_webhook_id) == (event_id, "webhook.test", webhook.id)
    assert world.announced == [event_id]
    assert world.do(lambda unit: delivery_of(unit, event_id)) is None


def test_the_outcome_of_a_test_is_its_delivery(world: World) -> None:
    """With the reason, as everywhere."""
    webhook = world.webhook()
    event = world.do(lambda unit: unit.events.append(an_event(workspace_id=world.workspace.id)))
    made = a_delivery(webhook_id=webhook.id, event_id=event.id, **DEAD)
    world.do(lambda unit: unit.webhooks.add_delivery(made))
    view = world.do(lambda unit: delivery_of(unit, event.id))
    assert view is not None
    assert (view.id, view.reason, view.is_final) == (made.id, "HTTP 500", True)


@pytest.mark.parametrize(("why", "words"), [(None, ""), ("410 Gone", r" \(410 Gone\)")])
def test_a_disabled_endpoint_is_not_tested(world: World, why: str | None, words: str) -> None:
    """The refusal says why it is disabled, and what to do."""
    webhook = world.webhook(enabled=False, disabled_reason=why)
    with pytest.raises(PreconditionError, match=f"webhook {webhook.id} is disabled{words}; enable it, then test it"):
        world.do(lambda unit: record_test(unit, world.service, world.workspace.id, webhook.id, by=BY))
    assert world.events() == []
