"""What a receiver does, and what comes of it: over gRPC, real workers, a real broker and TLS."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

import pytest
from standardwebhooks.webhooks import Webhook

from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.signing import verify_signature
from tests.support.hostile_cases.faulty_listeners import FAULTY_LISTENERS, FaultyListener
from tests.support.hostile_receiver import closes, resets, trickles
from tests.support.hostile_server import CASES, HostileServer
from tests.support.receiver_connection import Answer
from tests.support.system_rig import SystemRig, a_path
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.support.hostile_cases.case import HostileCase


def test_a_stopped_meeting_is_delivered_signed_and_recorded(rig: SystemRig) -> None:
    """Both signatures verify, one of them by code that is not ours, and the row says what happened."""
    path = a_path()
    webhook = rig.webhook(path)
    meeting_id = rig.meeting()
    rig.stop_meeting(meeting_id)
    [request] = rig.receiver.wait_for(1, path=path)
    [delivery] = rig.settled(webhook, "succeeded")

    assert request.method == "POST"
    signature = request.header("X-NoteFlow-Signature")
    expected = hmac.new(webhook.secret.encode(), request.body, hashlib.sha256).hexdigest()
    assert signature == f"sha256={expected}"
    assert verify_signature(request.body, signature, webhook.secret)
    verified = Webhook(webhook.secret).verify(request.body, dict(request.headers))
    assert verified == json.loads(request.body)
    assert list(verified) == [
        "event",
        "timestamp",
        "meeting_id",
        "title",
        "duration_seconds",
        "segment_count",
        "has_summary",
    ]
    assert verified["meeting_id"] == meeting_id
    assert request.header("Content-Type") == "application/json"
    assert request.header("X-NoteFlow-Event") == "meeting.completed"
    assert request.header("X-NoteFlow-Delivery") == delivery.id
    assert request.header("webhook-id") == delivery.event_id
    assert (delivery.status, delivery.status_code, delivery.attempt_count) == ("succeeded", 200, 1)
    assert delivery.response_body == "ok"
    assert delivery.payload.encode() == request.body


def test_500_500_200_is_delivered_on_the_third_attempt(rig: SystemRig) -> None:
    """Three attempt rows, one delivery id, byte-identical bodies, and a fresh timestamp each time."""
    path = a_path()
    rig.receiver.script(path, Answer(500, body=b"no"), Answer(500), Answer(200))
    webhook = rig.webhook(path)
    rig.publish()
    requests = rig.receiver.wait_for(3, path=path)
    [delivery] = rig.settled(webhook, "succeeded")
    assert delivery.attempt_count == 3
    assert [each.attempt_number for each in delivery.attempts] == [1, 2, 3]
    assert [each.status_code for each in delivery.attempts] == [500, 500, 200]
    assert [each.error_kind for each in delivery.attempts] == ["status", "status", ""]
    assert {each.header("X-NoteFlow-Delivery") for each in requests} == {delivery.id}
    assert len({each.body for each in requests}) == 1
    for request in requests:
        Webhook(webhook.secret).verify(request.body, dict(request.headers))


def test_an_endpoint_that_never_answers_2xx_ends_dead(rig: SystemRig) -> None:
    """The message starts with the contract's words, and no further attempt is made."""
    path = a_path()
    rig.receiver.script(path, Answer(503))
    webhook = rig.webhook(path, max_retries=2)
    rig.publish()
    [delivery] = rig.settled(webhook, "dead")
    assert delivery.error_message == "Max retries exceeded: HTTP 503"
    assert delivery.attempt_count == len(rig.receiver.wait_for(2, path=path)) == 2


def test_a_dead_delivery_can_be_sent_again(rig: SystemRig) -> None:
    """It reuses the row: attempts go on counting, with a fresh budget."""
    path = a_path()
    rig.receiver.script(path, Answer(500), Answer(500), Answer(200))
    webhook = rig.webhook(path, max_retries=1)
    rig.publish()
    [dead] = rig.settled(webhook, "dead")
    again = rig.client.webhooks.RedeliverDelivery(pb.RedeliverDeliveryRequest(delivery_id=dead.id))
    assert (again.id, again.status) == (dead.id, "pending")
    until(lambda: rig.delivery(dead.id).attempt_count == 2, what="the second attempt")
    rig.settled(webhook, "dead")
    rig.client.webhooks.RedeliverDelivery(pb.RedeliverDeliveryRequest(delivery_id=dead.id))
    [delivery] = rig.settled(webhook, "succeeded")
    assert [each.attempt_number for each in delivery.attempts] == [1, 2, 3]


def test_a_trickling_endpoint_is_cut_at_its_timeout(rig: SystemRig) -> None:
    """A header byte at a time keeps no worker beyond the webhook's own deadline."""
    path = a_path()
    rig.receiver.script(path, trickles(b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 1000))
    webhook = rig.webhook(path, timeout_ms=1000, max_retries=1)
    rig.publish()
    [delivery] = rig.settled(webhook, "dead")
    assert delivery.error_message == "Max retries exceeded: Request timed out"
    assert [each.error_kind for each in delivery.attempts] == ["timeout"]
    assert 900 <= delivery.duration_ms < 40_000


def test_a_disabled_endpoint_gets_a_row_and_no_post(rig: SystemRig) -> None:
    """And an unsubscribed one neither."""
    disabled, unsubscribed, subscribed = a_path(), a_path(), a_path()
    off = rig.webhook(disabled, enabled=False)
    other = rig.webhook(unsubscribed, events=["recording.started"])
    on = rig.webhook(subscribed)
    rig.publish()
    rig.settled(on, "succeeded")
    [skipped] = rig.deliveries(off)
    assert (skipped.status, skipped.attempt_count, skipped.error_message) == ("skipped", 0, "Webhook disabled")
    assert rig.deliveries(other) == []
    assert {each.path for each in rig.receiver.requests}.isdisjoint({disabled, unsubscribed})


def test_another_workspaces_endpoint_gets_neither(rig: SystemRig) -> None:
    """An event matches its own workspace's endpoints only."""
    path, mine = a_path(), a_path()
    with rig.connect(rig.new_workspace()) as stranger:
        request = pb.RegisterWebhookRequest(url=rig.receiver.url(path), events=["meeting.completed"])
        stranger.webhooks.RegisterWebhook(request)
        webhook = rig.webhook(mine)
        rig.publish()
        rig.settled(webhook, "succeeded")
        assert not stranger.webhooks.ListDeliveries(pb.ListDeliveriesRequest()).deliveries
        assert not stranger.events.ListEvents(pb.ListEventsRequest()).events
    assert path not in {each.path for each in rig.receiver.requests}


def test_an_endpoint_changed_between_two_attempts_gets_the_next_one_at_its_new_address(rig: SystemRig) -> None:
    """URL and secret are read when the attempt is made; the old secret signs beside the new one."""
    old, new = a_path(), a_path()
    rig.receiver.script(old, Answer(500))
    webhook = rig.webhook(old)
    rig.publish()
    rig.receiver.wait_for(1, path=old)
    rotated = rig.client.webhooks.RotateWebhookSecret(pb.RotateWebhookSecretRequest(webhook_id=webhook.id))
    request = pb.UpdateWebhookRequest(webhook_id=webhook.id, url=rig.receiver.url(new))
    request.update_mask.paths.append("url")
    rig.client.webhooks.UpdateWebhook(request)
    received = rig.receiver.wait_for(1, path=new)[0]
    for secret in (webhook.secret, rotated.secret):
        Webhook(secret).verify(received.body, dict(received.headers))
    assert verify_signature(received.body, received.header("X-NoteFlow-Signature") or "", rotated.secret)


def test_a_test_delivery_comes_back_with_its_outcome(rig: SystemRig) -> None:
    """It goes to its target whatever that subscribes to."""
    path = a_path()
    webhook = rig.webhook(path, events=[])
    answer = rig.client.webhooks.TestWebhook(pb.TestWebhookRequest(webhook_id=webhook.id, wait_seconds=60), timeout=100)
    assert answer.delivery.status == "succeeded"
    [request] = rig.receiver.wait_for(1, path=path)
    assert json.loads(request.body)["event"] == "webhook.test"


def test_twenty_copies_of_a_hint_make_one_post(rig: SystemRig) -> None:
    """A message is a wake-up: the claim decides."""
    path = a_path()
    webhook = rig.webhook(path)
    rig.receiver.hold()
    rig.publish()
    rig.receiver.wait_for(1, path=path)
    [delivery] = rig.deliveries(webhook)
    for _ in range(20):
        rig.wake("deliver", delivery.id)
    until(lambda: rig.redis.llen("deliver") == 0, what="the copies are consumed")
    rig.receiver.release()
    rig.settled(webhook, "succeeded")
    rig.publish()
    rig.settled(webhook, "succeeded", count=2)
    assert len(rig.receiver.wait_for(2, path=path)) == 2


def test_a_lost_answer_costs_one_duplicate_under_the_same_id(rig: SystemRig) -> None:
    """An RST, and an end without a word, after a whole request: sent again, and known by its ids for what it is."""
    path = a_path()
    rig.receiver.script(path, resets, closes, Answer(200))
    webhook = rig.webhook(path)
    rig.publish()
    [delivery] = rig.settled(webhook, "succeeded")
    requests = rig.receiver.wait_for(3, path=path)
    assert [each.error_kind for each in delivery.attempts] == ["connect", "connect", ""]
    assert len(requests) == 3
    assert len({(each.header("webhook-id"), each.header("X-NoteFlow-Delivery"), each.body) for each in requests}) == 1


def test_a_worker_lives_through_every_hostile_endpoint(rig: SystemRig) -> None:
    """One event goes to all of them at once; each row has its outcome, and the same worker delivers the next event."""
    worker, path = rig.pid("worker-1"), a_path()
    with HostileServer() as server:
        made = {name: rig.webhook(url=server.url(name), **_limits(case)) for name, case in CASES.items()}
        listeners = {
            name: rig.webhook(url=server.listener(name), **_limits(listener))
            for name, listener in FAULTY_LISTENERS.items()
        }
        rig.publish()
        count = len(made) + len(listeners)
        until(lambda: len(_attempted(rig)) == count, what="an attempt at each of them", timeout_s=120)
        rows = _attempted(rig)
    for name, webhook in made.items():
        assert rows[webhook.id] in [tuple(each) for each in CASES[name].outcomes], name
    for name, webhook in listeners.items():
        assert rows[webhook.id][1] in FAULTY_LISTENERS[name].kinds, name
    good = rig.webhook(path)
    rig.publish()
    rig.settled(good, "succeeded")
    assert rig.pid("worker-1") == worker


def _limits(tried: HostileCase | FaultyListener) -> dict[str, Any]:
    """Return an endpoint's limits: a time that is short only where whatever takes long comes to the same."""
    comes_to_nothing = tried.is_drawn_out and ErrorKind.TIMEOUT in tried.kinds
    return {"timeout_ms": 4_000 if comes_to_nothing else 12_000 if tried.is_drawn_out else 30_000, "max_retries": 1}


def _attempted(rig: SystemRig) -> dict[str, tuple[int | None, str | None, str | None]]:
    """Return what is on record of each endpoint's only attempt."""
    found = rig.database.execute(
        "SELECT delivery.webhook_id, attempt.status_code, attempt.error_kind, attempt.error_message"
        " FROM noteflow.webhook_attempts AS attempt JOIN noteflow.webhook_deliveries AS delivery"
        " ON delivery.id = attempt.delivery_id WHERE delivery.workspace_id ="
        " (SELECT workspace_id FROM noteflow.webhook_configs WHERE id = %s)",
        [rig.client.webhooks.ListWebhooks(pb.ListWebhooksRequest(page_size=1)).webhooks[0].id],
    )
    return {str(row[0]): (row[1], row[2], row[3]) for row in found.fetchall()}


@pytest.mark.parametrize("count", [1500, pytest.param(5000, marks=pytest.mark.chaos)])
def test_many_events_need_few_messages(rig: SystemRig, count: int) -> None:
    """Published as fast as one client can, fewer than two for five carry them all to success."""
    webhook = rig.webhook(a_path())
    before = rig.messages()
    payload = json.dumps(
        {"meeting_id": "m", "title": "t", "duration_seconds": 1, "segment_count": 1, "has_summary": True}
    )
    request = pb.PublishEventRequest(event_type="meeting.completed", payload_json=payload)
    calls = [rig.client.events.PublishEvent.future(request, timeout=120) for _ in range(count)]
    assert len({call.result().id for call in calls}) == count
    rig.settled(webhook, "succeeded", count=count, timeout_s=120)
    assert rig.messages() - before < count * 2 / 5
