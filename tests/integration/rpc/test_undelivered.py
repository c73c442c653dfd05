"""What was not delivered and why, and what is said of sending again, over a real channel."""
# ruff: noqa: ANN401 - a field is whatever type the message says

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import grpc
import pytest

from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.persistence.memory import InMemoryDeliveryStore
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.integration.rpc.world import refused
from tests.support.builders import NOON, a_delivery, an_event

if TYPE_CHECKING:
    from tests.integration.rpc.world import World

WRONG_MOMENT = grpc.StatusCode.FAILED_PRECONDITION
DEAD = {"status": DeliveryStatus.DEAD, "next_attempt_at": None, "attempt_count": 3, "error_message": "HTTP 500"}


def _deliver(world: World, webhook_id: str, **fields: Any) -> str:
    """Store an event and a delivery of it."""
    with world.units() as unit:
        event = unit.events.append(an_event(workspace_id=world.workspace_id))
        made = unit.webhooks.add_delivery(a_delivery(webhook_id=UUID(webhook_id), event_id=event.id, **fields))
        unit.commit()
    return str(made.id)


def _wait_for_dispatch(world: World, **fields: Any) -> str:
    with world.units() as unit:
        event = unit.events.append(an_event(workspace_id=world.workspace_id, **fields))
        unit.commit()
    return str(event.id)


def _undelivered(world: World, **fields: Any) -> pb.ListUndeliveredResponse:
    return world.client.webhooks.ListUndelivered(pb.ListUndeliveredRequest(**fields))


def _get(world: World, delivery_id: str) -> pb.Delivery:
    return world.client.webhooks.GetDelivery(pb.GetDeliveryRequest(delivery_id=delivery_id))


def _redeliver(world: World, delivery_id: str) -> pb.Delivery:
    return world.client.webhooks.RedeliverDelivery(pb.RedeliverDeliveryRequest(delivery_id=delivery_id))


def test_the_undelivered_are_listed_with_their_reasons(world: World) -> None:
    """Newest first: what waits for dispatch, what waits for a worker, and what is dead."""
    webhook = world.a_webhook()
    dead, pending = _deliver(world, webhook.id, **DEAD), _deliver(world, webhook.id)
    with world.units() as unit:
        events = {str(each.id) for each in unit.events.list_page(world.workspace_id, limit=9)}
    InMemoryDeliveryStore(world.store).dispatch([], limit=100)
    event_id = _wait_for_dispatch(world)
    first, second, third = _undelivered(world).undelivered
    assert (first.status, first.event_id, first.event_type) == ("undispatched", event_id, "meeting.completed")
    assert first.reason == "Waits to be matched with the workspace's endpoints"
    assert not any(first.HasField(name) for name in ("delivery_id", "webhook_id", "next_attempt_at"))
    assert (second.status, second.delivery_id, second.webhook_id) == ("pending", pending, webhook.id)
    assert (second.reason, second.HasField("next_attempt_at")) == ("Due; waits for a worker", True)
    assert (third.status, third.delivery_id, third.reason, third.attempt_count) == ("dead", dead, "HTTP 500", 3)
    assert {second.event_id, third.event_id} == events
    assert all(each.HasField("created_at") for each in (first, second, third))


def test_the_undelivered_are_filtered_and_paged(world: World) -> None:
    """By endpoint and by type; following the tokens shows each once."""
    one, other = world.a_webhook(), world.a_webhook(url="https://other.example/")
    made = [_deliver(world, each.id, **DEAD) for each in (one, other, one)]
    InMemoryDeliveryStore(world.store).dispatch([], limit=100)
    event_id = _wait_for_dispatch(world, event_type="recording.started")
    listed = [each.delivery_id for each in _undelivered(world, webhook_id=one.id).undelivered]
    assert set(listed) >= {made[2], made[0]}
    assert made[1] not in listed
    assert event_id not in listed
    [event] = _undelivered(world, event_type="recording.started").undelivered
    assert event.event_id == event_id
    whole = [each.delivery_id or each.event_id for each in _undelivered(world).undelivered]
    seen: list[str] = []
    token = ""
    while token or not seen:
        page = _undelivered(world, page_size=2, page_token=token)
        seen += [each.delivery_id or each.event_id for each in page.undelivered]
        token = page.next_page_token
    assert seen == whole


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"webhook_id": "x"}, "webhook_id"), ({"event_type": "x"}, "event_type"), ({"page_size": -1}, "page_size")],
)
def test_a_filter_of_the_undelivered_that_can_not_be_is_refused_by_name(
    world: World, fields: dict[str, Any], field: str
) -> None:
    """With what is allowed."""
    with refused(grpc.StatusCode.INVALID_ARGUMENT, f"{field}: "):
        _undelivered(world, **fields)


def test_another_workspace_s_undelivered_are_not_found(world: World) -> None:
    """Neither its events nor its deliveries."""
    webhook = world.a_webhook()
    _deliver(world, webhook.id, **DEAD)
    _wait_for_dispatch(world)
    with world.stranger() as stranger:
        hooks = stranger.webhooks
        assert not hooks.ListUndelivered(pb.ListUndeliveredRequest()).undelivered
        assert not hooks.ListUndelivered(pb.ListUndeliveredRequest(webhook_id=webhook.id)).undelivered


def test_every_answer_says_why_a_delivery_is_not_delivered(world: World) -> None:
    """Listed, shown, sent again and tested; one that has succeeded has no reason."""
    webhook = world.a_webhook()
    dead = _deliver(world, webhook.id, **DEAD)
    fields = {"status": DeliveryStatus.SUCCEEDED, "next_attempt_at": None, "status_code": 200}
    _deliver(world, webhook.id, **fields)
    succeeded, listed = world.client.webhooks.ListDeliveries(pb.ListDeliveriesRequest()).deliveries
    assert (succeeded.HasField("reason"), listed.reason) == (False, "HTTP 500")
    assert not listed.redeliveries
    assert _get(world, dead).reason == "HTTP 500"
    assert _redeliver(world, dead).reason.startswith("Due, as was asked for; waits for a worker")
    assert _get(world, dead).reason.startswith("Due, as was asked for; waits for a worker")


def test_a_delivery_that_is_sent_again_tells_so(world: World) -> None:
    """When, and what it was before; it goes past what holds its endpoint's others back."""
    webhook = world.a_webhook()
    delivery_id = _deliver(world, webhook.id, **DEAD)
    assert not _get(world, delivery_id).redeliveries
    _redeliver(world, delivery_id)
    (again,) = _get(world, delivery_id).redeliveries
    assert (again.previous_status, again.after_attempt, again.HasField("replay_id")) == ("dead", 3, False)
    assert again.HasField("requested_at")
    store = InMemoryDeliveryStore(world.store)
    store.mark_slow([UUID(webhook.id)])
    assert len(store.claim([UUID(delivery_id)], limit=1, lease_slack=timedelta(seconds=1))) == 1


def test_what_has_nothing_to_send_any_more_is_not_sent_again(world: World) -> None:
    """Neither alone nor by a replay, once its event's payload is erased."""
    delivery_id = _deliver(world, world.a_webhook().id, **DEAD)
    [event] = world.events()
    world.store.tables.events[event.id] = replace(event, payload=b"{}", payload_erased_at=NOON)
    with refused(WRONG_MOMENT, "its event's payload is erased"):
        _redeliver(world, delivery_id)
    assert not _get(world, delivery_id).redeliveries
    request = pb.ReplayDeliveriesRequest(dry_run=True)
    assert world.client.webhooks.ReplayDeliveries(request).matched == 0


def test_a_delivery_to_a_disabled_endpoint_is_not_sent_again(world: World) -> None:
    """It would be skipped once more; the answer says what to do first."""
    webhook = world.a_webhook(enabled=False)
    delivery_id = _deliver(world, webhook.id, **DEAD)
    with refused(WRONG_MOMENT, f"webhook {webhook.id} is disabled; enable it, then send again"):
        _redeliver(world, delivery_id)
    assert _get(world, delivery_id).status == "dead"
