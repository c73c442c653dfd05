"""WebhookService's deliveries, and EventService, over a real channel."""
# ruff: noqa: ANN401 - a field is whatever type the message says

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from noteflow_hooks.domain.deliveries import DeliveryStatus, Settlement
from noteflow_hooks.persistence.memory import InMemoryDeliveryStore
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.integration.rpc.world import World, eventually, refused
from tests.support.builders import EXACT, a_delivery, a_failure, a_payload, an_event

if TYPE_CHECKING:
    from noteflow_hooks.domain.deliveries import WebhookDelivery

NOT_FOUND = grpc.StatusCode.NOT_FOUND
INVALID = grpc.StatusCode.INVALID_ARGUMENT
WRONG_MOMENT = grpc.StatusCode.FAILED_PRECONDITION


def _publish(world: World, **fields: Any) -> pb.Event:
    given = {"event_type": "meeting.completed", "payload_json": json.dumps(a_payload())} | fields
    return world.client.events.PublishEvent(pb.PublishEventRequest(**given))


def _test(world: World, webhook_id: str, wait_seconds: float | None = None) -> pb.TestWebhookResponse:
    return world.client.webhooks.TestWebhook(
        pb.TestWebhookRequest(webhook_id=webhook_id, wait_seconds=wait_seconds), timeout=100
    )


def _list(world: World, **fields: Any) -> pb.ListDeliveriesResponse:
    return world.client.webhooks.ListDeliveries(pb.ListDeliveriesRequest(**fields))


def _get(world: World, delivery_id: str) -> pb.Delivery:
    return world.client.webhooks.GetDelivery(pb.GetDeliveryRequest(delivery_id=delivery_id))


def _redeliver(world: World, delivery_id: str) -> pb.Delivery:
    return world.client.webhooks.RedeliverDelivery(pb.RedeliverDeliveryRequest(delivery_id=delivery_id))


def _deliver(world: World, webhook_id: str, **fields: Any) -> WebhookDelivery:
    """Store an event and a delivery of it."""
    with world.units() as unit:
        event = unit.events.append(an_event(workspace_id=world.workspace_id))
        made = unit.webhooks.add_delivery(a_delivery(webhook_id=UUID(webhook_id), event_id=event.id, **fields))
        unit.commit()
    return made


def _work(world: World) -> None:
    """Do what a worker does whose receiver answers 500 and has no more attempts."""
    store = InMemoryDeliveryStore(world.store)
    ids = store.dispatch([], limit=100).delivery_ids
    for claim in store.claim(ids, limit=100, lease_slack=timedelta(seconds=10)):
        after, _ = claim.delivery.attempted(a_failure(), max_retries=1, policy=EXACT, draw=0.5)
        store.settle([Settlement(after, attempt=a_failure())])


def test_deliveries_are_listed_in_pages_newest_first(world: World) -> None:
    """Following the tokens shows each once, with its columns."""
    webhook = world.a_webhook()
    made = [str(_deliver(world, webhook.id).id) for _ in range(5)]
    seen, token = [], ""
    for _ in range(3):
        page = _list(world, page_size=2, page_token=token)
        seen += [delivery.id for delivery in page.deliveries]
        token = page.next_page_token
    assert (seen, token) == (made[::-1], "")
    first = _list(world, page_size=1).deliveries[0]
    assert (first.webhook_id, first.status, first.attempt_count) == (webhook.id, "pending", 0)
    assert not first.HasField("status_code")
    assert not first.HasField("payload")


def test_a_test_may_be_an_event_of_a_type_that_is_published(world: World) -> None:
    """It goes to that endpoint alone, whatever both subscribe to; the audit trail has its type."""
    quiet = world.a_webhook(events=["recording.started"])
    world.a_webhook(url="https://other.example/")
    fields: dict[str, Any] = {"event_type": "meeting.completed", "payload_json": json.dumps(a_payload(title="Trial"))}
    asked = pb.TestWebhookRequest(webhook_id=quiet.id, **fields)
    event_id = world.client.webhooks.TestWebhook(asked).event_id
    _work(world)
    [delivery] = _list(world, event_id=event_id).deliveries
    assert (delivery.webhook_id, delivery.status, delivery.event_type) == (quiet.id, "dead", "meeting.completed")
    event = world.client.events.GetEvent(pb.GetEventRequest(event_id=event_id)).event
    assert (event.target_webhook_id, json.loads(event.payload)["title"]) == (quiet.id, "Trial")
    entries = world.client.audit.ListAuditEntries(pb.ListAuditEntriesRequest(action="webhook.tested")).audit_entries
    assert json.loads(entries[0].new) == {"event_id": event_id, "event_type": "meeting.completed"}


def test_a_test_s_event_is_checked_as_one_that_is_published(world: World) -> None:
    """Type and payload go together; of our types only those that can be published, of others those that are known."""
    webhook_id, payload = world.a_webhook().id, json.dumps(a_payload())
    cases: list[tuple[dict[str, Any], tuple[str, ...]]] = [
        ({"event_type": "meeting.completed"}, ("payload_json",)),
        ({"payload_json": payload}, ("event_type",)),
        ({"event_type": "webhook.failing", "payload_json": payload}, ("event_type",)),
        ({"event_type": "custom.unknown", "payload_json": "{}"}, ("event_type",)),
        ({"event_type": "meeting.completed", "payload_json": "{}"}, ("payload_json.title", "payload_json.meeting_id")),
    ]
    for fields, names in cases:
        with refused(INVALID, *names):
            world.client.webhooks.TestWebhook(pb.TestWebhookRequest(webhook_id=webhook_id, **fields))
    assert not world.events()


def test_deliveries_are_filtered_by_each_criterion(world: World) -> None:
    """Empty filters leave it open; times bound [after, before)."""
    one, other = world.a_webhook(), world.a_webhook(url="https://other.example/")
    wanted = _deliver(world, one.id)
    _deliver(world, other.id, status=DeliveryStatus.DEAD, next_attempt_at=None, event_type="recording.started")
    moment = Timestamp()
    moment.FromDatetime(datetime.now(UTC) + timedelta(hours=1))
    for fields in (
        {"webhook_id": one.id},
        {"status": "pending"},
        {"event_type": "meeting.completed"},
        {"webhook_id": one.id, "status": "", "event_type": ""},
        {"webhook_id": one.id, "created_before": moment},
    ):
        assert [each.id for each in _list(world, **fields).deliveries] == [str(wanted.id)]
    assert not _list(world, created_after=moment).deliveries


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"webhook_id": "x"}, "webhook_id"),
        ({"status": "lost"}, "status"),
        ({"event_type": "meeting.started"}, "event_type"),
        ({"created_after": Timestamp(seconds=10**15)}, "created_after"),
        ({"created_before": Timestamp(seconds=-(10**15))}, "created_before"),
        ({"page_token": "x"}, "page_token"),
    ],
    ids=["id", "status", "type", "after", "before", "token"],
)
def test_a_filter_that_can_not_be_is_refused_by_name(world: World, fields: dict[str, Any], field: str) -> None:
    """With what is allowed."""
    with refused(INVALID, f"{field}: "):
        _list(world, **fields)


def test_a_delivery_is_shown_with_its_payload_and_attempts(world: World) -> None:
    """The payload is exactly the text that is sent."""
    webhook, event = world.a_webhook(), _publish(world)
    _work(world)
    delivery = _get(world, _list(world, webhook_id=webhook.id).deliveries[0].id)
    assert (delivery.status, delivery.status_code, delivery.attempt_count) == ("dead", 500, 1)
    assert delivery.error_message == "Max retries exceeded: HTTP 500"
    assert (delivery.event_id, delivery.payload) == (event.id, event.payload)
    (attempt,) = delivery.attempts
    assert (attempt.attempt_number, attempt.error_kind, attempt.error_message) == (1, "status", "HTTP 500")
    assert (attempt.delivery_id, attempt.response_body) == (delivery.id, "no")


def test_a_dead_delivery_can_be_sent_again(world: World) -> None:
    """The same row, pending once more; while it is under way it can't."""
    world.a_webhook()
    _publish(world)
    _work(world)
    dead = _list(world, status="dead").deliveries[0]
    again = _redeliver(world, dead.id)
    assert (again.id, again.status, again.attempt_count) == (dead.id, "pending", 1)
    with refused(WRONG_MOMENT, "pending"):
        _redeliver(world, dead.id)


def test_a_delivery_that_is_not_there_is_not_found(world: World) -> None:
    """And a malformed id is the caller's mistake."""
    for call in (_get, _redeliver):
        with refused(NOT_FOUND, "delivery_id"):
            call(world, str(uuid4()))
        with refused(INVALID, "delivery_id: "):
            call(world, "x")


def test_another_workspace_s_deliveries_and_events_are_not_found(world: World) -> None:
    """Neither listed nor shown nor sent again; a filter for its endpoint finds nothing."""
    webhook = world.a_webhook()
    delivery_id = str(_deliver(world, webhook.id, status=DeliveryStatus.DEAD, next_attempt_at=None).id)
    with world.stranger() as stranger:
        hooks = stranger.webhooks
        assert not hooks.ListDeliveries(pb.ListDeliveriesRequest()).deliveries
        assert not hooks.ListDeliveries(pb.ListDeliveriesRequest(webhook_id=webhook.id)).deliveries
        with refused(NOT_FOUND):
            hooks.GetDelivery(pb.GetDeliveryRequest(delivery_id=delivery_id))
        with refused(NOT_FOUND):
            hooks.RedeliverDelivery(pb.RedeliverDeliveryRequest(delivery_id=delivery_id))
        assert not stranger.events.ListEvents(pb.ListEventsRequest()).events
    assert _get(world, delivery_id).status == "dead"


def test_a_test_is_recorded_and_announced(world: World) -> None:
    """Without a wait the answer is the event's id."""
    webhook = world.a_webhook(events=[])
    answer = _test(world, webhook.id)
    assert not answer.HasField("delivery")
    eventually(lambda: world.announced == [UUID(answer.event_id)])
    assert world.payload("webhook.test")["webhook_id"] == webhook.id


def test_a_test_can_wait_for_its_outcome(world: World) -> None:
    """It returns as soon as the delivery is settled."""
    webhook = world.a_webhook()
    worker = threading.Thread(target=partial(_work_when_announced, world))
    worker.start()
    answer = _test(world, webhook.id, wait_seconds=60)
    worker.join()
    assert (answer.delivery.status, answer.delivery.status_code) == ("dead", 500)


def test_a_test_s_wait_ends_with_what_is_known(world: World) -> None:
    """A delivery that isn't settled yet is shown as it is."""
    webhook = world.a_webhook()
    answer = _test(world, webhook.id, wait_seconds=0.05)
    assert answer.event_id
    assert not answer.HasField("delivery")


@pytest.mark.parametrize("wait", [-1, 61, float("nan"), float("inf")])
def test_a_wait_out_of_bounds_is_refused(world: World, wait: float) -> None:
    """Before anything is recorded."""
    with refused(INVALID, "wait_seconds: "):
        _test(world, world.a_webhook().id, wait_seconds=wait)
    assert world.event_types() == []


def test_a_disabled_endpoint_can_not_be_tested(world: World) -> None:
    """The answer says what to do."""
    with refused(WRONG_MOMENT, "disabled", "enable it"):
        _test(world, world.a_webhook(enabled=False).id)


def test_an_event_is_published_once_under_a_key(world: World) -> None:
    """Repeated with the same content it is the same event; with another it is refused."""
    event = _publish(world, idempotency_key="k")
    assert _publish(world, idempotency_key="k") == event
    with refused(grpc.StatusCode.ALREADY_EXISTS):
        _publish(world, idempotency_key="k", payload_json=json.dumps(a_payload(title="Other")))
    assert world.announced == [UUID(event.id)]
    assert json.loads(event.payload)["title"] == "Weekly"
    assert (event.meeting_id, event.idempotency_key) == ("m-1", "k")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"event_type": "webhook.test"}, "event_type"),
        ({"payload_json": "{"}, "payload_json"),
        ({"payload_json": json.dumps(a_payload(segment_count="3"))}, "segment_count"),
        ({"payload_json": json.dumps(a_payload(extra="x" * 11_000))}, "payload"),
        ({"idempotency_key": ""}, "idempotency_key"),
    ],
    ids=["type", "json", "field", "size", "key"],
)
def test_a_bad_event_is_refused_by_field(world: World, fields: dict[str, Any], field: str) -> None:
    """Where it enters, and nothing is stored."""
    with refused(INVALID, f"{field}: "):
        _publish(world, **fields)
    assert world.event_types() == []


def test_events_are_listed_in_pages_that_fit_into_a_message(world: World) -> None:
    """A page of the largest events ends early, and the next one goes on."""
    large = json.dumps(a_payload(extra="x" * 10_000))
    made = [_publish(world, payload_json=large).id for _ in range(400)]
    seen, token, pages = [], "", 0
    while token or not pages:
        page = world.client.events.ListEvents(pb.ListEventsRequest(page_size=500, page_token=token))
        seen += [event.id for event in page.events]
        token, pages = page.next_page_token, pages + 1
    assert (seen, pages) == (made[::-1], 2)


def _work_when_announced(world: World) -> None:
    while not world.announced:
        threading.Event().wait(0.01)
    _work(world)
