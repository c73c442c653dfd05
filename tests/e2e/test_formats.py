"""Formats over gRPC, real workers and TLS: the bytes of a delivery are fixed at its first attempt."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from google.protobuf.field_mask_pb2 import FieldMask
from standardwebhooks.webhooks import Webhook

from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.support.receiver_connection import Answer
from tests.support.system_rig import SystemRig, a_path

if TYPE_CHECKING:
    from tests.support.receiver_connection import Behaviour, ReceivedRequest, ReceiverConnection


def change(rig: SystemRig, webhook: pb.Webhook, chosen: str) -> None:
    mask = FieldMask(paths=["format"])
    rig.client.webhooks.UpdateWebhook(pb.UpdateWebhookRequest(webhook_id=webhook.id, format=chosen, update_mask=mask))


def fails_after(act: list[tuple[SystemRig, pb.Webhook, str]]) -> Behaviour:
    """Return what changes the endpoint while its attempt is under way, and then fails that."""

    def behave(connection: ReceiverConnection) -> None:
        for each in act:
            change(*each)
        connection.send(Answer(500).encode())

    return behave


def constant(request: ReceivedRequest) -> list[tuple[str, str]]:
    """Return what of the headers no attempt changes."""
    return [pair for pair in request.headers if pair[0] not in ("webhook-timestamp", "webhook-signature")]


@pytest.mark.parametrize(
    ("begun", "then"), [("cloudevents", "standard"), ("standard", "noteflow"), ("noteflow", "cloudevents-binary")]
)
def test_a_retry_is_the_same_bytes_and_a_redelivery_is_rendered_anew(rig: SystemRig, begun: str, then: str) -> None:
    """The format is changed between a failed attempt and its retry; ids and signatures go on as if it were not."""
    path = a_path()
    act: list[tuple[SystemRig, pb.Webhook, str]] = []
    rig.receiver.script(path, fails_after(act), Answer(200))
    webhook = rig.webhook(path, format=begun)
    act.append((rig, webhook, then))
    rig.publish()
    first, retry = rig.receiver.wait_for(2, path=path)
    assert first.body == retry.body
    assert constant(first) == constant(retry)
    assert first.header("webhook-id") == retry.header("webhook-id")
    [delivery] = rig.settled(webhook, "succeeded")
    assert delivery.rendering == ("" if begun == "noteflow" else f"{begun}/1/1")
    rig.client.webhooks.RedeliverDelivery(pb.RedeliverDeliveryRequest(delivery_id=delivery.id))
    *_, again = rig.receiver.wait_for(3, path=path)
    assert again.header("webhook-id") == first.header("webhook-id")
    assert constant(again) != constant(first) or again.body != first.body
    preview = rig.client.webhooks.PreviewPayload(
        pb.PreviewPayloadRequest(event_id=delivery.event_id, webhook_id=webhook.id)
    )
    assert again.body.decode() == preview.body
    assert preview.format == then
    for request in (first, retry, again):
        Webhook(webhook.secret).verify(request.body, dict(request.headers))


def test_an_event_arrives_in_every_format(rig: SystemRig) -> None:
    """With one row for each endpoint; CloudEvents' SDK finds the same event in both modes."""
    formats = ("noteflow", "standard", "cloudevents", "cloudevents-binary")
    paths = {chosen: a_path() for chosen in formats}
    webhooks = {chosen: rig.webhook(path, format=chosen) for chosen, path in paths.items()}
    event_id = rig.publish(title="Größe")
    got = {chosen: rig.receiver.wait_for(1, path=path)[0] for chosen, path in paths.items()}
    payload = json.loads(got["noteflow"].body)
    assert json.loads(got["standard"].body)["data"] == payload
    for chosen in ("cloudevents", "cloudevents-binary"):
        event = from_http_event(HTTPMessage(dict(got[chosen].headers), got[chosen].body))
        assert (event.get_id(), event.get_data()) == (event_id, payload)
    for chosen in formats:
        [delivery] = rig.settled(webhooks[chosen], "succeeded")
        assert delivery.payload.encode() == got["noteflow"].body


def test_what_can_t_be_rendered_is_dead_after_five_tries_and_can_be_sent_again(rig: SystemRig) -> None:
    """Its row was changed by hand; the endpoint's budget and health are not touched, and others get theirs."""
    path = a_path()
    webhook = rig.webhook(path, format="cloudevents", max_retries=1)
    pause = pb.UpdateWebhookRequest(webhook_id=webhook.id, paused=True, update_mask=FieldMask(paths=["paused"]))
    rig.client.webhooks.UpdateWebhook(pause)
    damaged, whole = rig.publish(), rig.publish()
    rig.database.execute("UPDATE noteflow.webhook_events SET occurred_at = 'infinity' WHERE id = %s", [damaged])
    pause.paused = False
    rig.client.webhooks.UpdateWebhook(pause)
    [request] = rig.receiver.wait_for(1, path=path)
    assert json.loads(request.body)["id"] == whole
    [dead] = [each for each in rig.settled(webhook, "dead") if each.event_id == damaged]
    assert dead.status == "dead"
    assert [each.error_kind for each in dead.attempts] == ["internal"] * 5
    assert dead.error_message == ("Max retries exceeded: Can't be rendered: the event's row holds what it may not")
    health = rig.client.webhooks.GetWebhook(pb.GetWebhookRequest(webhook_id=webhook.id)).health
    assert (health.state, health.failures) == ("healthy", 0)
    rig.database.execute("UPDATE noteflow.webhook_events SET occurred_at = now() WHERE id = %s", [damaged])
    rig.client.webhooks.RedeliverDelivery(pb.RedeliverDeliveryRequest(delivery_id=dead.id))
    assert json.loads(rig.receiver.wait_for(2, path=path)[1].body)["id"] == damaged
