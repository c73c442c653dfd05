"""What the engine keeps when endpoints fail, hang, flood or come back: real workers, a real broker, a real receiver."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.support.builders import a_payload
from tests.support.receiver_connection import Answer
from tests.support.steady_publisher import posts
from tests.support.stopwatch import Stopwatch
from tests.support.system_rig import SystemRig, a_path, retry_while_unavailable
from tests.support.waiting import PATIENCE_S, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.receiver_connection import ReceiverConnection

OK = Answer(200)
#: The longest that an endpoint may take.
HANG_MS = 30_000


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemRig]:
    """Two workers; a breaker that opens after three failures, for two seconds."""
    folder = tmp_path_factory.mktemp("system")
    periods = {"breaker_open_s": 2, "breaker_open_max_s": 2, "slow_after_s": 0.5}
    with SystemRig(folder, workers=2, breaker_failures=3, **periods) as running:
        yield running


@pytest.fixture
def rig(system: SystemRig) -> Iterator[SystemRig]:
    with system.as_new_tenant() as tenant:
        yield tenant


class RequestCounter:
    """A receiver's behaviour that counts how many requests it has at once, each for a moment.

    The first ones stay until as many are there as are expected, however far apart they come.
    """

    def __init__(self, expected: int) -> None:
        self._changed = threading.Condition()
        self._present = 0
        self._expected = expected
        self.most = 0

    def __call__(self, connection: ReceiverConnection) -> None:
        with self._changed:
            self._present += 1
            self.most = max(self.most, self._present)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self.most >= self._expected, timeout=20)
        connection.pause(0.1)
        # Before the answer: the next request may come as soon as that is out.
        with self._changed:
            self._present -= 1
        connection.send(OK.encode())


def update(rig: SystemRig, webhook: pb.Webhook, **changes: Any) -> pb.Webhook:  # noqa: ANN401 - a request's fields
    request = pb.UpdateWebhookRequest(webhook_id=webhook.id, **changes)
    request.update_mask.paths.extend(changes)
    return rig.client.webhooks.UpdateWebhook(request)


def shown(rig: SystemRig, webhook: pb.Webhook) -> pb.Webhook:
    return rig.client.webhooks.GetWebhook(pb.GetWebhookRequest(webhook_id=webhook.id))


def break_down(rig: SystemRig, path: str) -> pb.Webhook:
    """Register an endpoint, and have three deliveries fail and die."""
    rig.receiver.script(path, Answer(503))
    webhook = rig.webhook(path, max_retries=1)
    for _ in range(3):
        rig.publish()
    rig.settled(webhook, "dead", count=3)
    assert shown(rig, webhook).health.state == "circuit_open"
    return webhook


@pytest.mark.chaos
def test_two_workers_keep_one_cap(rig: SystemRig) -> None:
    """Thirty deliveries to an endpoint that takes three at once: never a fourth, and all arrive."""
    path, counter = a_path(), RequestCounter(expected=3)
    rig.receiver.script(path, counter)
    webhook = rig.webhook(path, max_concurrency=3, timeout_ms=30_000)
    for _ in range(30):
        rig.publish()
    rig.settled(webhook, "succeeded", count=30)
    assert counter.most == 3


def test_a_rate_limit_is_kept_and_used(rig: SystemRig) -> None:
    """Twenty a second: whichever second one looks at, no more than that and its burst; and all arrive."""
    path = a_path()
    webhook = rig.webhook(path, rate_limit_per_s=20)
    with claims_noted(rig, webhook) as noted:
        for _ in range(50):
            rig.publish()
        rig.settled(webhook, "succeeded", count=50)
        claimed = noted()
    assert len(posts(rig.receiver, path)) == 50
    # What a worker was too slow for to begin with is given back, and claimed once more.
    assert len(claimed) >= 50
    # 20 a second, 1 + 2 at once after a pause, and what a claim may be late on its way.
    assert max(sum(at <= each < at + 1 for each in claimed) for at in claimed) <= 20 + 3 + 4


@contextlib.contextmanager
def claims_noted(rig: SystemRig, webhook: pb.Webhook) -> Iterator[Callable[[], list[float]]]:
    """Offer the moments at which the endpoint's deliveries are claimed, by the database's clock alone, in seconds.

    When they arrive depends on how the machine has workers and receiver take turns.
    """
    rig.database.execute("CREATE TABLE noteflow.noted (at double precision)")
    rig.database.execute(
        "CREATE FUNCTION noteflow.note() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN INSERT INTO noteflow.noted SELECT extract(epoch FROM NEW.claimed_at); RETURN NEW; END'"
    )
    condition = f"WHEN (NEW.claimed_at IS DISTINCT FROM OLD.claimed_at AND NEW.webhook_id = '{webhook.id}')"
    rig.database.execute(
        "CREATE TRIGGER note AFTER UPDATE ON noteflow.delivery_queue"
        f" FOR EACH ROW {condition} EXECUTE FUNCTION noteflow.note()".encode()
    )
    noted = "SELECT at FROM noteflow.noted WHERE at IS NOT NULL"
    try:
        yield lambda: [at for (at,) in rig.database.execute(noted).fetchall()]
    finally:
        rig.database.execute("DROP FUNCTION noteflow.note() CASCADE")
        rig.database.execute("DROP TABLE noteflow.noted")


def test_what_hangs_holds_up_nobody(rig: SystemRig) -> None:
    """While an endpoint with hundreds of deliveries never answers, two hundred for a healthy one all arrive."""
    hanging, healthy = a_path(), a_path()
    rig.receiver.script(hanging, lambda connection: connection.pause(60))
    hung = rig.webhook(hanging, events=["recording.started"], timeout_ms=HANG_MS, max_retries=1)
    fine = rig.webhook(healthy)
    with Stopwatch() as quiet:
        publish_together(rig, "meeting.completed", count=200)
        rig.settled(fine, "succeeded", count=200)
    began = time.monotonic()
    publish_together(rig, "recording.started", count=300)
    rig.receiver.wait_for(1, path=hanging)
    with Stopwatch() as beside:
        publish_together(rig, "meeting.completed", count=200)
        rig.settled(fine, "succeeded", count=400)
    ended = [each for each in rig.deliveries(hung) if each.attempt_count]
    # Only on a machine on which this takes so long has any of the others come to its end.
    assert ended == [] or time.monotonic() > began + HANG_MS / 1000
    # Below half a minute, or in proportion.
    assert beside.seconds < max(25.0, 8 * quiet.seconds)
    rig.client.webhooks.DeleteWebhook(pb.DeleteWebhookRequest(webhook_id=hung.id))


def publish_together(rig: SystemRig, event_type: str, *, count: int) -> None:
    """Publish so many events as fast as can be: what hangs does so for half a minute only."""
    fields = a_payload() if event_type == "meeting.completed" else {"meeting_id": "m", "title": "t"}
    payload = json.dumps(fields)
    requests = [
        pb.PublishEventRequest(event_type=event_type, payload_json=payload, idempotency_key=uuid4().hex)
        for _ in range(count)
    ]
    publish = rig.client.events.PublishEvent
    calls = [(each, publish.future(each, timeout=PATIENCE_S)) for each in requests]
    for request, call in calls:
        if call.exception() is not None:
            retry_while_unavailable(partial(publish, request, timeout=PATIENCE_S))


def test_an_open_breaker_holds_deliveries_without_using_attempts(rig: SystemRig) -> None:
    """They are pending with the reason; a probe finds the endpoint well again, and all go out."""
    path = a_path()
    webhook = break_down(rig, path)
    rig.receiver.script(path, OK)
    for _ in range(20):
        rig.publish()
    listed = rig.client.webhooks.ListDeliveries(pb.ListDeliveriesRequest(webhook_id=webhook.id, status="pending"))
    for each in listed.deliveries:
        assert each.attempt_count == 0
        assert "circuit breaker is open after 3 failed attempts" in each.reason or each.reason.startswith("Due")
    delivered = [each for each in rig.settled(webhook, "succeeded", count=20) if each.status == "succeeded"]
    assert {each.attempt_count for each in delivered} == {1}
    until(lambda: shown(rig, webhook).health.state == "healthy", what="the endpoint is healthy")


def test_a_test_is_sent_while_the_breaker_is_open(rig: SystemRig) -> None:
    """And what comes of it is told to the caller."""
    path = a_path()
    webhook = break_down(rig, path)
    answer = rig.client.webhooks.TestWebhook(pb.TestWebhookRequest(webhook_id=webhook.id, wait_seconds=60), timeout=100)
    assert (answer.delivery.status_code, answer.delivery.attempt_count) == (503, 1)
    dead = next(each for each in rig.deliveries(webhook) if each.event_type == "meeting.completed")
    rig.client.webhooks.RedeliverDelivery(pb.RedeliverDeliveryRequest(delivery_id=dead.id))
    until(lambda: rig.delivery(dead.id).attempt_count == 2, what="the redelivery's attempt")


def test_410_disables_and_the_others_are_told(rig: SystemRig) -> None:
    """The endpoint that is gone hears no more; the one that subscribes to such news gets it, signed like all."""
    path, news = a_path(), a_path()
    rig.receiver.script(path, Answer(410))
    gone = rig.webhook(path, events=["meeting.completed", "webhook.disabled"])
    rig.webhook(news, events=["webhook.disabled"])
    rig.publish()
    [told] = rig.receiver.wait_for(1, path=news)
    said = json.loads(told.body)
    assert (said["event"], said["webhook_id"]) == ("webhook.disabled", gone.id)
    assert said["reason"] == shown(rig, gone).disabled_reason
    assert not shown(rig, gone).enabled
    [delivery] = rig.deliveries(gone)
    assert (delivery.status, delivery.error_message, delivery.attempt_count) == ("dead", "HTTP 410", 1)


def test_a_pause_holds_and_a_resume_lets_go(rig: SystemRig) -> None:
    """Nothing is sent while it lasts; everything is when it is over."""
    path = a_path()
    webhook = update(rig, rig.webhook(path), paused=True)
    for _ in range(5):
        rig.publish()
    until(lambda: len(rig.deliveries(webhook)) == 5, what="the deliveries")
    rig.wake("deliver", *(each.id for each in rig.deliveries(webhook)))
    until(lambda: rig.redis.llen("deliver") == 0, what="the wake-up is consumed")
    assert all("is paused since" in each.reason for each in rig.deliveries(webhook))
    assert not any(each.path == path for each in rig.receiver.requests)
    update(rig, webhook, paused=False)
    rig.settled(webhook, "succeeded", count=5)


def test_fifty_publishers_of_one_key_make_one_event(rig: SystemRig) -> None:
    """They race, each over a connection of its own, and one of them never hears the answer."""
    path = a_path()
    webhook = rig.webhook(path)
    request = pb.PublishEventRequest(
        event_type="meeting.completed", payload_json=json.dumps(a_payload()), idempotency_key="once"
    )
    unheard = rig.client.events.PublishEvent.future(request)

    def publish(_: int) -> str:
        with rig.connect(rig.token) as client:
            return client.events.PublishEvent(request, timeout=PATIENCE_S).id

    with ThreadPoolExecutor(50) as publishers:
        ids = set(publishers.map(publish, range(50)))
    unheard.cancel()
    assert len(ids) == 1
    [delivery] = rig.settled(webhook, "succeeded")
    assert delivery.event_id in ids
    assert len(rig.receiver.wait_for(1, path=path)) == 1


def test_one_list_says_what_was_not_delivered_and_why(rig: SystemRig) -> None:
    """Skipped, dead and held ones, each with a reason; what succeeded is not in it."""
    rig.webhook(a_path())
    off = rig.webhook(a_path(), enabled=False)
    held = update(rig, rig.webhook(a_path()), paused=True)
    path = a_path()
    rig.receiver.script(path, Answer(500))
    failing = rig.webhook(path, max_retries=1)
    rig.publish()
    rig.settled(failing, "dead")

    def reasons() -> dict[str, str]:
        page = rig.client.webhooks.ListUndelivered(pb.ListUndeliveredRequest())
        return {each.webhook_id: each.reason for each in page.undelivered}

    until(lambda: len(reasons()) == 3, what="all but the delivered one")
    assert reasons()[off.id] == "Webhook disabled"
    assert reasons()[failing.id] == "Max retries exceeded: HTTP 500"
    assert "is paused since" in reasons()[held.id]


@pytest.mark.chaos
@pytest.mark.parametrize("count", [400, pytest.param(20_000, marks=pytest.mark.chaos)])
def test_a_replay_that_is_killed_twice_sends_each_once(rig: SystemRig, count: int) -> None:
    """But for what was in flight when its workers were killed; and it finishes."""
    path = a_path()
    rig.receiver.script(path, OK)
    webhook = rig.webhook(path, enabled=False)
    rig.publish_many(count, webhook_workspace=webhook.workspace_id)
    rig.settled(webhook, "skipped", count=count, timeout_s=120)
    update(rig, webhook, enabled=True)
    request = pb.ReplayDeliveriesRequest(webhook_id=webhook.id, rate_per_s=min(count, 5_000))
    assert (
        rig.client.webhooks.ReplayDeliveries(pb.ReplayDeliveriesRequest(webhook_id=webhook.id, dry_run=True)).matched
        == count
    )
    replay = rig.client.webhooks.ReplayDeliveries(request)
    in_flight = 0
    for part in (1, 2):
        rig.receiver.wait_for(part * count // 4, path=path, timeout_s=60)
        for worker in ("worker-1", "worker-2"):
            rig.kill(worker)
        in_flight += rig.database.execute(
            "SELECT count(*) FROM noteflow.webhook_deliveries WHERE webhook_id = %s AND status = 'sending'",
            [webhook.id],
        ).fetchall()[0][0]
        for worker in ("worker-1", "worker-2"):
            rig.restart(worker)
    rig.settled(webhook, "succeeded", count=count, timeout_s=240)
    done = rig.client.webhooks.GetReplay(pb.GetReplayRequest(replay_id=replay.id))
    assert (done.state, done.sent) == ("done", count)
    received = [each.header("webhook-id") for each in rig.receiver.requests if each.path == path]
    assert len(set(received)) == count
    assert len(received) - count <= in_flight
    [(again,)] = rig.database.execute(
        "SELECT count(*) FROM noteflow.webhook_redeliveries WHERE replay_id = %s", [replay.id]
    ).fetchall()
    assert again == count
    assert done.finished_at.ToDatetime(tzinfo=UTC) <= datetime.now(UTC)
