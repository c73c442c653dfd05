"""Filters over gRPC, real workers and TLS: what is sent, what is not, and what is only asked later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from google.protobuf.field_mask_pb2 import FieldMask

from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.support.extra_programs import log_of, started
from tests.support.receiver_connection import Answer
from tests.support.system_rig import SystemRig, a_path
from tests.support.waiting import until
from tests.support.worker_programs import pooled_worker, wait_until_ready, with_variables

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.receiver_connection import Behaviour, ReceiverConnection

LONG: Final = 'data.title == "Broken" ? data.owner == "" : data.duration_seconds > 60'


def change(rig: SystemRig, webhook: pb.Webhook, text: str) -> None:
    mask = FieldMask(paths=["filter"])
    rig.client.webhooks.UpdateWebhook(pb.UpdateWebhookRequest(webhook_id=webhook.id, filter=text, update_mask=mask))


def test_an_endpoint_gets_what_its_filter_matches_and_nothing_else(rig: SystemRig) -> None:
    """Of three kinds of events each has its row; a test and a single redelivery pass by; nobody has failed."""
    path = a_path()
    webhook = rig.webhook(path, filter=LONG)
    events = {
        "succeeded": rig.publish(duration_seconds=3600.0),
        "filtered": rig.publish(duration_seconds=5.0),
        "filter_failed": rig.publish(title="Broken", duration_seconds=3600.0),
    }
    rig.settled(webhook, "succeeded")
    rows = {each.skip_reason or each.status: each for each in rig.settled(webhook, "skipped", count=2)}
    assert {kind: each.event_id for kind, each in rows.items()} == events
    assert [len(rows[kind].attempts) for kind in events] == [1, 0, 0]
    assert rows["filtered"].reason == "The endpoint's filter does not match"
    assert rows["filter_failed"].reason.startswith("The endpoint's filter failed: a field is missing: 'owner'")
    [arrived] = rig.receiver.wait_for(1, path=path)
    assert arrived.header("webhook-id") == events["succeeded"]
    undelivered = rig.client.webhooks.ListUndelivered(pb.ListUndeliveredRequest()).undelivered
    assert [each.delivery_id for each in undelivered] == [rows["filter_failed"].id]
    shown = rig.client.webhooks.GetWebhook(pb.GetWebhookRequest(webhook_id=webhook.id))
    assert (shown.filter_errors, shown.health.state) == (1, "healthy")
    assert shown.filter_last_error.startswith("a field is missing: 'owner'")
    tested = rig.client.webhooks.TestWebhook(pb.TestWebhookRequest(webhook_id=webhook.id, wait_seconds=30), timeout=45)
    assert tested.delivery.status == "succeeded"
    rig.client.webhooks.RedeliverDelivery(pb.RedeliverDeliveryRequest(delivery_id=rows["filtered"].id))
    rig.settled(webhook, "succeeded", count=3)
    ids = {each.header("webhook-id") for each in rig.receiver.wait_for(3, path=path)}
    assert ids == {events["succeeded"], events["filtered"], tested.event_id}


def test_a_verdict_stands_over_a_retry_though_the_filter_has_changed(rig: SystemRig) -> None:
    """It is changed while the first attempt is under way, which then fails; the next event is asked the new one."""
    path = a_path()
    act: list[pb.Webhook] = []

    def behave(connection: ReceiverConnection) -> None:
        change(rig, act[0], "false")
        connection.send(Answer(500).encode())

    behaviour: Behaviour = behave
    rig.receiver.script(path, behaviour, Answer(200))
    act.append(rig.webhook(path, filter="true"))
    first = rig.publish()
    [delivery] = rig.settled(act[0], "succeeded")
    assert [each.status_code for each in delivery.attempts] == [500, 200]
    second = rig.publish()
    skipped = {each.event_id: each.skip_reason for each in rig.settled(act[0], "skipped")}
    assert skipped[second] == "filtered"
    assert {each.header("webhook-id") for each in rig.receiver.wait_for(2, path=path)} == {first}


def test_a_replay_asks_anew_or_not_at_all(rig: SystemRig) -> None:
    """After the filter was changed, what it held back goes out; and what it holds back goes where that is said."""
    path = a_path()
    webhook = rig.webhook(path, filter="data.duration_seconds > 60")
    events = [rig.publish(duration_seconds=length) for length in (5.0, 15.0)]
    rig.settled(webhook, "skipped", count=2)
    change(rig, webhook, "data.duration_seconds > 10")
    rig.client.webhooks.ReplayDeliveries(pb.ReplayDeliveriesRequest(webhook_id=webhook.id, status="skipped"))
    rig.settled(webhook, "succeeded")
    until(lambda: all(each.status in ("succeeded", "skipped") for each in rig.deliveries(webhook)), what="all settle")
    assert {each.header("webhook-id") for each in rig.receiver.wait_for(1, path=path)} == {events[1]}
    rig.client.webhooks.ReplayDeliveries(pb.ReplayDeliveriesRequest(webhook_id=webhook.id, include_filtered=True))
    rig.settled(webhook, "succeeded", count=2)
    assert {each.header("webhook-id") for each in rig.receiver.wait_for(2, path=path)} == set(events)


def test_where_a_worker_lacks_the_extra_the_delivery_waits_for_one_that_has_it(tmp_path: Path) -> None:
    """It uses no attempt and says why; what has no filter is sent as ever."""
    stub = tmp_path / "blocked" / "cel_expr_python"
    stub.mkdir(parents=True)
    (stub / "__init__.py").write_text('raise ImportError("not installed here")\n')
    with SystemRig(tmp_path / "system", workers=0) as rig:
        path, plain = a_path(), a_path()
        webhook, other = rig.webhook(path, filter="data.duration_seconds > 60"), rig.webhook(plain)
        command = pooled_worker("gevent", "-c", "4", name="lacking")
        with started(rig, "lacking", with_variables(command, PYTHONPATH=str(stub.parent))):
            wait_until_ready(rig, "lacking")
            event_id = rig.publish(duration_seconds=3600.0)
            rig.settled(other, "succeeded")
            until(lambda: "filter_unavailable" in rig.deliveries(webhook)[0].reason, what="it says why it waits")
        [waiting] = rig.deliveries(webhook)
        assert (waiting.status, waiting.attempt_count, list(waiting.attempts)) == ("pending", 0, [])
        assert "filter_unavailable" in log_of(rig, "lacking").read_text()
        rig.database.execute("UPDATE noteflow.delivery_queue SET next_attempt_at = now() WHERE id = %s", [waiting.id])
        with started(rig, "able", pooled_worker("gevent", "-c", "4", name="able")):
            [done] = rig.settled(webhook, "succeeded")
        assert [each.status_code for each in done.attempts] == [200]
        assert [each.header("webhook-id") for each in rig.receiver.wait_for(1, path=path)] == [event_id]
