"""PreviewPayload: the request as it would be made, byte by byte, without anything that is secret; nothing is sent."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

import grpc
import pytest

from noteflow_hooks.domain.deliveries import Claim
from noteflow_hooks.domain.options import Format
from noteflow_hooks.domain.ranks import Rank
from noteflow_hooks.domain.renderings import EventFacts, Rendering
from noteflow_hooks.executor.http.prepared import PreparedEndpoint, request_of
from noteflow_hooks.executor.webhook_executor import USER_AGENT
from noteflow_hooks.rendering.registry import RENDERERS
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.integration.rpc.world import World, refused
from tests.support.builders import a_delivery, a_payload

if TYPE_CHECKING:
    from noteflow_hooks.domain.events import Event
    from noteflow_hooks.domain.webhooks import WebhookConfig

CANARY: Final = "c4n4ry-of-an-endpoint"
KNOWN: Final = sorted({name for name, _ in RENDERERS})
SIGNED: Final = [each for each in KNOWN if not Format(each).is_preset]


def an_event(world: World) -> str:
    published = pb.PublishEventRequest(event_type="meeting.completed", payload_json=json.dumps(a_payload()))
    return world.client.events.PublishEvent(published).id


def preview(world: World, event_id: str, **fields: Any) -> pb.PreviewPayloadResponse:  # noqa: ANN401 - the message's own
    return world.client.webhooks.PreviewPayload(pb.PreviewPayloadRequest(event_id=event_id, **fields))


def stored(world: World, event_id: str, webhook_id: str) -> tuple[Event, WebhookConfig]:
    with world.units() as unit:
        event, webhook = unit.events.get_by_id(UUID(event_id)), unit.webhooks.get_by_id(UUID(webhook_id))
    assert event is not None
    assert webhook is not None
    return event, webhook


def sent(event: Event, webhook: WebhookConfig) -> tuple[list[tuple[str, str]], bytes]:
    """Return what the executor would send."""
    delivery = a_delivery(event_id=event.id, rendering=Rendering.of(webhook).stored)
    facts, rank = EventFacts(event.meeting_id, event.occurred_at), Rank(event.sequence or 0)
    claim = Claim(delivery, webhook, event.payload, facts=facts, rank=rank)
    endpoint = PreparedEndpoint(webhook, user_agent=USER_AGENT, allow_http_loopback=False)
    head, body, _ = request_of(endpoint, claim, datetime.now(UTC))
    lines = (line.partition(": ") for line in head.decode("latin-1").split("\r\n")[1:-2])
    return [(name, value) for name, _, value in lines], body


@pytest.mark.parametrize("chosen", SIGNED)
def test_it_is_what_would_be_sent(world: World, chosen: str) -> None:
    """The same headers in the same order, and the same body; but for what is secret, or made for each attempt."""
    webhook = world.a_webhook(generate_secret=True, format=chosen, headers=[pb.Header(name="X-Key", value=CANARY)])
    event_id = an_event(world)
    answer = preview(world, event_id, webhook_id=webhook.id)
    headers, body = sent(*stored(world, event_id, webhook.id))
    assert answer.body.encode() == body
    assert [each.name for each in answer.headers] == [name for name, _ in headers]
    differing = {
        each.name: each.value for each, (_, value) in zip(answer.headers, headers, strict=True) if each.value != value
    }
    assert {name: value for name, value in differing.items() if name != "webhook-timestamp"} == {
        "X-NoteFlow-Delivery": "[made at dispatch]",
        "X-NoteFlow-Signature": "[redacted]",
        "webhook-signature": "[redacted]",
        "X-Key": "[redacted]",
    }
    assert (answer.format, answer.payload_version, answer.renderer) == (chosen, 1, 1)


@pytest.mark.parametrize("chosen", ["noteflow", "standard", "cloudevents"])
def test_to_an_endpoint_with_batches_it_is_a_batch_of_one(world: World, chosen: str) -> None:
    """As an event is sent that comes alone; a test is none."""
    webhook = world.a_webhook(generate_secret=True, format=chosen, batch_max=5)
    event_id = an_event(world)
    answer = preview(world, event_id, webhook_id=webhook.id)
    headers = {each.name: each.value for each in answer.headers}
    assert (headers["X-NoteFlow-Event"], headers["X-NoteFlow-Batch"]) == ("batch", "1")
    assert {headers[name] for name in ("X-NoteFlow-Delivery", "webhook-id")} == {"[made at dispatch]"}
    assert headers["webhook-signature"] == "[redacted]"
    body = json.loads(answer.body)
    [element] = body if chosen == "cloudevents" else body["events"]
    assert element["id"] == event_id
    assert element["data"]["event"] == "meeting.completed"
    tested = world.client.webhooks.TestWebhook(pb.TestWebhookRequest(webhook_id=webhook.id))
    shown = preview(world, tested.event_id, webhook_id=webhook.id)
    assert "X-NoteFlow-Batch" not in {each.name for each in shown.headers}


@pytest.mark.parametrize("chosen", KNOWN)
def test_a_format_is_shown_without_an_endpoint(world: World, chosen: str) -> None:
    """As to any with a secret; it has no host, and the workspace is the caller's."""
    answer = preview(world, an_event(world), format=chosen)
    names = {each.name for each in answer.headers}
    assert "Host" not in names
    assert ("webhook-signature" in names) == (not Format(chosen).is_preset)
    assert "receiver.invalid" not in str(answer)
    if chosen == "cloudevents":
        assert json.loads(answer.body)["source"] == f"/noteflow/workspaces/{world.workspace_id}"


@pytest.mark.parametrize(("signing", "names"), [("hmac", 2), ("ed25519", 1), ("both", 2)])
def test_no_signature_is_made(world: World, signing: str, names: int) -> None:
    """There is a mark for each that goes out; and no secret, path or header's value is anywhere in the answer."""
    webhook = world.a_webhook(
        url=f"https://receiver.example/{CANARY}",
        secret=f"{CANARY}-secret",
        signing=signing,
        headers=[pb.Header(name="Authorization", value=f"Bearer {CANARY}")],
    )
    answer = preview(world, an_event(world), webhook_id=webhook.id)
    signatures = [each.value for each in answer.headers if each.name.lower().endswith("-signature")]
    assert signatures == ["[redacted]"] * names
    assert CANARY not in str(answer)
    unsigned = preview(world, an_event(world), webhook_id=world.a_webhook().id)
    assert not [each for each in unsigned.headers if each.name.lower().endswith("-signature")]


def test_it_shows_an_endpoint_whose_secrets_no_key_opens(world: World) -> None:
    """None of them is looked at."""
    webhook = world.a_webhook(generate_secret=True, format="standard")
    event_id = an_event(world)
    before = preview(world, event_id, webhook_id=webhook.id)
    with world.units() as unit:
        found = unit.webhooks.get_by_id(UUID(webhook.id))
        assert found is not None
        unit.webhooks.update(replace(found, secret_unavailable=True, secret_unreadable=True, secret=None))
        unit.commit()
    assert preview(world, event_id, webhook_id=webhook.id).body == before.body


def test_nothing_is_sent_or_changed(world: World) -> None:
    """Neither an attempt nor a delivery nor an entry of the audit trail."""
    webhook = world.a_webhook(format="cloudevents")
    event_id = an_event(world)
    announced = len(world.announced)
    preview(world, event_id, webhook_id=webhook.id)
    assert len(world.announced) == announced
    found = world.client.events.GetEvent(pb.GetEventRequest(event_id=event_id))
    assert not found.deliveries


@pytest.mark.parametrize(
    ("fields", "code", "says"),
    [
        ({}, grpc.StatusCode.INVALID_ARGUMENT, "one of webhook_id and format must be set"),
        ({"webhook_id": str(uuid4()), "format": "standard"}, grpc.StatusCode.INVALID_ARGUMENT, "and not both"),
        ({"format": "xml"}, grpc.StatusCode.INVALID_ARGUMENT, "format: is 'xml'; allowed are noteflow, standard"),
        ({"webhook_id": "x"}, grpc.StatusCode.INVALID_ARGUMENT, "webhook_id: must be a UUID"),
        ({"webhook_id": str(uuid4())}, grpc.StatusCode.NOT_FOUND, "webhook_id: no webhook"),
        ({"event_id": str(uuid4()), "format": "standard"}, grpc.StatusCode.NOT_FOUND, "event_id: no event"),
    ],
    ids=["neither", "both", "no format", "no id", "no webhook", "no event"],
)
def test_what_is_wrong_is_refused_by_name(
    world: World, fields: dict[str, str], code: grpc.StatusCode, says: str
) -> None:
    """With what is allowed."""
    event_id = fields.pop("event_id", None) or an_event(world)
    with refused(code, says):
        preview(world, event_id, **fields)


def test_an_erased_payload_is_not_shown(world: World) -> None:
    """It is gone."""
    event_id = an_event(world)
    world.client.events.EraseMeetingPayloads(pb.EraseMeetingPayloadsRequest(meeting_id=a_payload()["meeting_id"]))
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "erased"):
        preview(world, event_id, format="standard")


def test_another_workspace_s_event_is_not_there(world: World) -> None:
    """Nor are its endpoints."""
    event_id, webhook = an_event(world), world.a_webhook()
    with world.stranger() as stranger:
        with refused(grpc.StatusCode.NOT_FOUND, f"event_id: no event {event_id}"):
            stranger.webhooks.PreviewPayload(pb.PreviewPayloadRequest(event_id=event_id, format="standard"))
        payload = json.dumps(a_payload())
        own = stranger.events.PublishEvent(
            pb.PublishEventRequest(event_type="meeting.completed", payload_json=payload)
        ).id
        with refused(grpc.StatusCode.NOT_FOUND, f"webhook_id: no webhook {webhook.id}"):
            stranger.webhooks.PreviewPayload(pb.PreviewPayloadRequest(event_id=own, webhook_id=webhook.id))
