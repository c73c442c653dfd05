"""Batches over real workers, a real broker and TLS: what arrives, and that it stays the same over kills."""

from __future__ import annotations

import contextlib
import json
import socket
from typing import TYPE_CHECKING, Any

import pytest
from standardwebhooks.webhooks import Webhook

from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.signing import verify_signature
from tests.support.receiver_connection import Answer
from tests.support.system_rig import SystemRig, a_path
from tests.support.waiting import PATIENCE_S, until

if TYPE_CHECKING:
    from tests.support.receiver_connection import ReceivedRequest, ReceiverConnection

OK = Answer(200)


def publish(rig: SystemRig, count: int) -> list[str]:
    """Publish so many events with one call, and return their ids."""
    events = [
        pb.PublishEventRequest(
            event_type="meeting.completed",
            payload_json=json.dumps(
                {
                    "meeting_id": f"m-{number}",
                    "title": "Weekly",
                    "duration_seconds": 1.5,
                    "segment_count": 3,
                    "has_summary": True,
                }
            ),
        )
        for number in range(count)
    ]
    answer = rig.client.events.PublishEvents(pb.PublishEventsRequest(requests=events))
    return [each.event.id for each in answer.results]


def update(rig: SystemRig, webhook: pb.Webhook, **changes: Any) -> None:  # noqa: ANN401 - a request's fields
    request = pb.UpdateWebhookRequest(webhook_id=webhook.id, **changes)
    request.update_mask.paths.extend(changes)
    rig.client.webhooks.UpdateWebhook(request)


def elements(request: ReceivedRequest) -> list[str]:
    return [each["id"] for each in json.loads(request.body)["events"]]


def same(first: ReceivedRequest, second: ReceivedRequest) -> bool:
    """Tell whether two requests are attempts of one batch: its id, its bytes, and so its order."""
    return (first.body, first.header("webhook-id")) == (second.body, second.header("webhook-id"))


def test_ten_events_are_one_signed_request(rig: SystemRig) -> None:
    """One body with all of them, in their order, under the batch's id, and each delivery has that attempt."""
    path = a_path()
    webhook = rig.webhook(path, batch_max=10, batch_wait_ms=60_000)
    event_ids = publish(rig, 10)
    [request] = rig.receiver.wait_for(1, path=path)
    deliveries = rig.settled(webhook, "succeeded", count=10)
    body = json.loads(request.body)
    assert list(body) == ["type", "id", "events"]
    assert (body["type"], body["id"]) == ("batch", request.header("webhook-id"))
    assert elements(request) == event_ids
    for each in body["events"]:
        assert list(each) == ["id", "delivery_id", "type", "sequence", "gap", "data"]
        assert each["data"]["event"] == each["type"] == "meeting.completed"
    assert request.header("X-NoteFlow-Batch") == "10"
    assert request.header("X-NoteFlow-Event") == "batch"
    assert request.header("X-NoteFlow-Delivery") == body["id"]
    assert request.header("Content-Type") == "application/json"
    signature = request.header("X-NoteFlow-Signature") or ""
    assert verify_signature(request.body, signature, webhook.secret)
    assert Webhook(webhook.secret).verify(request.body, dict(request.headers)) == body
    assert {each.batch_id for each in deliveries} == {body["id"]}
    assert {attempt.batch_id for each in deliveries for attempt in each.attempts} == {body["id"]}
    assert len(rig.receiver.wait_for(1, path=path)) == 1


def test_a_lone_event_is_a_batch_of_one_once_its_wait_is_over(rig: SystemRig) -> None:
    """A receiver of batches gets one shape, whatever comes."""
    path = a_path()
    rig.webhook(path, batch_max=10, batch_wait_ms=200)
    [event_id] = publish(rig, 1)
    [request] = rig.receiver.wait_for(1, path=path)
    assert (elements(request), request.header("X-NoteFlow-Batch")) == ([event_id], "1")


def test_a_test_and_a_redelivery_are_no_batches(rig: SystemRig) -> None:
    """What a person asks for goes at once and alone, in the usual shape."""
    path = a_path()
    webhook = rig.webhook(path, batch_max=10)
    [event_id] = publish(rig, 1)
    [delivery] = rig.settled(webhook, "succeeded")
    rig.client.webhooks.RedeliverDelivery(pb.RedeliverDeliveryRequest(delivery_id=delivery.id))
    rig.client.webhooks.TestWebhook(pb.TestWebhookRequest(webhook_id=webhook.id))
    _, *others = rig.receiver.wait_for(3, path=path)
    assert [each.header("X-NoteFlow-Batch") for each in others] == [None, None]
    [again] = [each for each in others if each.header("webhook-id") == event_id]
    assert json.loads(again.body)["event"] == "meeting.completed"


def test_a_failed_batch_comes_again_as_it_was_over_changed_settings(rig: SystemRig) -> None:
    """The format, the most events of a batch and the payloads' version are those of its first attempt."""
    path = a_path()
    rig.receiver.script(path, Answer(500), OK)
    webhook = rig.webhook(path, batch_max=5, batch_wait_ms=60_000)
    publish(rig, 5)
    rig.receiver.wait_for(1, path=path)
    update(rig, webhook, batch_max=2, format="standard")
    first, second = rig.receiver.wait_for(2, path=path)
    rig.settled(webhook, "succeeded", count=5)
    assert same(first, second)
    [newer, *_] = publish(rig, 2)
    third = rig.receiver.wait_for(3, path=path)[2]
    assert elements(third)[0] == newer
    assert "timestamp" in json.loads(third.body)["events"][0]


def test_a_batch_stays_one_once_batches_are_switched_off(rig: SystemRig) -> None:
    """What was begun as a batch ends as that batch; what comes then goes alone."""
    path = a_path()
    rig.receiver.script(path, Answer(500), OK)
    webhook = rig.webhook(path, batch_max=5, batch_wait_ms=60_000)
    publish(rig, 5)
    rig.receiver.wait_for(1, path=path)
    update(rig, webhook, batch_max=0)
    [newer] = publish(rig, 1)
    requests = rig.receiver.wait_for(3, path=path)
    rig.settled(webhook, "succeeded", count=6)
    [alone] = [each for each in requests if each.header("X-NoteFlow-Batch") is None]
    first, second = [each for each in requests if each is not alone]
    assert same(first, second)
    assert alone.header("webhook-id") == newer


def test_a_cloudevents_batch_is_an_array_of_events(rig: SystemRig) -> None:
    """In the batch's own content type, each event by itself as it would be in structured mode."""
    path = a_path()
    rig.webhook(path, batch_max=2, batch_wait_ms=60_000, format="cloudevents")
    event_ids = publish(rig, 2)
    [request] = rig.receiver.wait_for(1, path=path)
    assert request.header("Content-Type") == "application/cloudevents-batch+json"
    body = json.loads(request.body)
    assert [each["id"] for each in body] == event_ids
    assert {(each["specversion"], each["type"]) for each in body} == {("1.0", "meeting.completed")}


class FailsNamed:
    """Answers a batch's first request with the first of its events as failed, and all others with success."""

    def __init__(self, rig: SystemRig, path: str) -> None:
        self._rig, self._path = rig, path
        self._is_first = True

    def __call__(self, connection: ReceiverConnection) -> None:
        body = b"{}"
        if self._is_first:
            self._is_first = False
            [request] = self._rig.receiver.wait_for(1, path=self._path)
            body = json.dumps({"failed": [elements(request)[0], "of no batch"]}).encode()
        connection.send(Answer(200, body=body).encode())


def test_what_an_answer_names_as_failed_comes_again_in_a_new_batch(rig: SystemRig) -> None:
    """The others are settled; an entry that is no event of the batch changes nothing."""
    path = a_path()
    rig.receiver.script(path, FailsNamed(rig, path))
    webhook = rig.webhook(path, batch_max=3, batch_wait_ms=60_000, batch_partial=True)
    event_ids = publish(rig, 3)
    first, second = rig.receiver.wait_for(2, path=path)
    deliveries = rig.settled(webhook, "succeeded", count=3)
    assert elements(second) == [event_ids[0]]
    assert first.header("webhook-id") != second.header("webhook-id")
    attempts = {each.event_id: [one.status_code for one in each.attempts] for each in deliveries}
    assert attempts == {event_ids[0]: [200, 200], event_ids[1]: [200], event_ids[2]: [200]}


def test_a_413_comes_again_in_halves(rig: SystemRig) -> None:
    """Nothing is lost, and no new batch is larger than half of it."""
    path = a_path()
    rig.receiver.script(path, Answer(413), OK)
    webhook = rig.webhook(path, batch_max=8, batch_wait_ms=60_000)
    event_ids = publish(rig, 8)
    first, *halves = rig.receiver.wait_for(3, path=path)
    rig.settled(webhook, "succeeded", count=8)
    assert elements(first) == event_ids
    assert sorted(each for half in halves for each in elements(half)) == sorted(event_ids)
    assert max(len(elements(each)) for each in halves) <= 4


@pytest.mark.chaos
def test_a_worker_killed_between_post_and_record_sends_the_same_batch_again(rig: SystemRig) -> None:
    """The receiver has it, and nobody has recorded that: the same id, bytes and order once the lease is over."""
    path = a_path()
    webhook = rig.webhook(path, batch_max=6, batch_wait_ms=60_000, timeout_ms=1_000)
    rig.receiver.hold()
    event_ids = publish(rig, 6)
    rig.receiver.wait_for(1, path=path)
    rig.kill("worker-1")
    rig.receiver.release()
    rig.restart("worker-1")
    first, second = rig.receiver.wait_for(2, path=path)
    deliveries = rig.settled(webhook, "succeeded", count=6)
    assert elements(first) == event_ids
    assert same(first, second)
    for each in deliveries:
        assert [attempt.error_kind for attempt in each.attempts] == ["interrupted", ""]


def test_a_worker_killed_between_claim_and_post_sends_the_batch_that_it_had_claimed(rig: SystemRig) -> None:
    """What is on record before anything was sent is what is sent, though more has come by then."""
    path = a_path()
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/"
        webhook = rig.webhook(path, url=url, batch_max=4, batch_wait_ms=0, timeout_ms=1_000)
        event_ids = publish(rig, 3)
        until(lambda: _members(rig, webhook) != [], what="the batch is claimed")
        rig.kill("worker-1")
    claimed = _members(rig, webhook)
    update(rig, webhook, url=rig.receiver.url(path))
    publish(rig, 3)
    rig.restart("worker-1")
    rig.settled(webhook, "succeeded", count=6, timeout_s=PATIENCE_S)
    requests = rig.receiver.wait_for(len(claimed), path=path)
    sent = {each.header("webhook-id"): _deliveries(each) for each in requests}
    for batch_id, members in claimed:
        assert sent[batch_id] == members
    assert sorted(each for _, members in claimed for each in members) != []
    assert set(event_ids) <= {each for request in requests for each in elements(request)}


def _members(rig: SystemRig, webhook: pb.Webhook) -> list[tuple[str, list[str]]]:
    """Return the endpoint's batches, with their deliveries."""
    statement = "SELECT id::text, members::text[] FROM noteflow.webhook_batches WHERE webhook_id = %s"
    return rig.database.execute(statement, [webhook.id]).fetchall()


def _deliveries(request: ReceivedRequest) -> list[str]:
    return [each["delivery_id"] for each in json.loads(request.body)["events"]]
