"""Hostile input that was thought of: each is refused where it enters, by its field's name, and nothing is stored."""

from __future__ import annotations

import json
from typing import Any, Final
from uuid import uuid4

import grpc
import pytest

from noteflow_hooks.domain.headers import DENIED
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from tests.integration.rpc.world import World, refused
from tests.support.builders import a_payload

INVALID: Final = grpc.StatusCode.INVALID_ARGUMENT
FULL: Final = grpc.StatusCode.RESOURCE_EXHAUSTED
DEEP: Final = 100_000
#: What one field of a valid message is exchanged for.
MARK: Final = "\u2603"


def register(world: World, **fields: Any) -> pb.Webhook:  # noqa: ANN401 - the message's own
    return world.a_webhook(**fields)


def update(world: World, **fields: Any) -> pb.Webhook:  # noqa: ANN401 - the message's own
    """Change the workspace's newest endpoint."""
    [newest] = world.client.webhooks.ListWebhooks(pb.ListWebhooksRequest(page_size=1)).webhooks
    request = pb.UpdateWebhookRequest(webhook_id=newest.id, **fields)
    request.update_mask.paths.extend(fields)
    return world.client.webhooks.UpdateWebhook(request)


def publish(world: World, payload: object = None, *, event_type: str = "meeting.completed") -> pb.Event:
    """Publish a payload, or JSON text as it is."""
    text = payload if isinstance(payload, str) else json.dumps(a_payload() if payload is None else payload)
    return world.client.events.PublishEvent(pb.PublishEventRequest(event_type=event_type, payload_json=text))


def with_header(name: str, value: str) -> dict[str, Any]:
    return {"headers": [pb.Header(name=name, value=value)]}


HEADERS: Final = [
    ("D1", "X-Key", "a\r\nX-Forged: b"),
    ("D1", "X-Key", "a\r\n b"),
    ("D1", "X-Key", "a\n"),
    ("D1", "X-Key\r\nX-Forged", "a"),
    ("D1", "X-Key\n", "a"),
    ("D2", "X-Key", "a\x00b"),
    ("D2", "X-Key", "a\x85b"),
    ("D2", "X-Key", "\x1b[2J"),
    ("D2", "X Key", "a"),
    ("D2", "X-Key:", "a"),
    ("D2", "", "a"),
    ("D2", "X-Key", ""),
    ("D2", "X-Key", " a"),
    ("D2", "X-Key", "x" * 65_536),
    ("D2", "x" * 65_536, "a"),
    ("D3", "X-Key", "✓"),
    ("D3", "X-Key", "a\u2028b"),
    ("D3", "X-Key", "a\u202eb"),
    ("D3", "X-Kéy", "a"),
    ("D3", "X-✓", "a"),
    *[("D4", name, "a") for name in DENIED],
    *[("D4", name.upper(), "a") for name in ("host", "transfer-encoding", "content-length", "webhook-id")],
    *[("D4", name, "a") for name in ("Transfer_Encoding", "webhook-signature", "X-NoteFlow-Event", "Proxy-Auth")],
]


@pytest.fixture(scope="module", autouse=True)
def registered(stored_world: World) -> None:
    """An endpoint to change."""
    stored_world.a_webhook()


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(("fault", "name", "value"), HEADERS, ids=map(str, range(len(HEADERS))))
def test_a_header_that_http_would_read_otherwise_is_refused(
    stored_world: World, fault: str, name: str, value: str
) -> None:
    """At registration, and at a change."""
    assert fault
    for call in (register, update):
        with refused(INVALID, "headers: "):
            call(stored_world, **with_header(name, value))


@pytest.mark.usefixtures("unchanged")
def test_too_many_headers_are_refused(stored_world: World) -> None:
    """D2: twenty-one of them, or a hundred thousand, or more bytes than all may have."""
    for count in (21, 100_000):
        with refused(INVALID, "headers: ", f"there are {count} headers; at most 20"):
            register(stored_world, headers=[pb.Header(name=f"X-{number}", value="a") for number in range(count)])
    with refused(INVALID, "headers: ", "bytes as sent; at most 16384"):
        register(stored_world, headers=[pb.Header(name=f"X-{number}", value="a" * 4096) for number in range(4)])


def payload_text(field: str, value: str) -> str:
    """Return a good payload whose field has that JSON text for a value."""
    return json.dumps(a_payload() | {field: MARK}, ensure_ascii=False).replace(f'"{MARK}"', value)


PAYLOADS: Final = [
    ("D5", payload_text("duration_seconds", "NaN"), "payload_json: ", "must be finite"),
    ("D5", payload_text("x", "Infinity"), "payload_json: ", "must be finite"),
    ("D5", payload_text("x", "-Infinity"), "payload_json: ", "must be finite"),
    ("D6", payload_text("title", r'"\ud800"'), "title: ", "lone surrogates"),
    ("D6", payload_text("x", r'"\udfff\ud800"'), "x: ", "lone surrogates"),
    ("D6", json.dumps(a_payload() | {"\ud800": 1}), "payload field name: ", "lone surrogates"),
    ("D7", payload_text("title", r'"\u0000"'), "title: ", "NUL"),
    ("D7", payload_text("meeting_id", r'"a\u0000"'), "meeting_id: ", "NUL"),
    ("D7", json.dumps(a_payload() | {"a\x00": 1}), "payload field name: ", "NUL"),
    ("D7", payload_text("title", '"\x01"'), "payload_json: ", "control character"),
    ("D8", "[" * DEEP, "payload_json: ", "must be one JSON object"),
    ("D8", '{"a":' * DEEP, "payload_json: ", "must be one JSON object"),
    ("D8", payload_text("x", "[" * 40 + "]" * 40), "x: ", "flat"),
    ("D8", payload_text("x", '{"a":' * 60 + "1" + "}" * 60), "x: ", "flat"),
    ("D9", payload_text("x", f'"{"y" * 10_240}"'), "payload: has 10", "at most 10240"),
    ("D9", payload_text("x", f'"{"y" * 1_048_576}"'), "payload_json: has more than 1048576 bytes", ""),
    ("D10", '{"meeting_id": "a", "meeting_id": "b"}', "payload_json: ", "names a field twice"),
    ("D10", payload_text("x", '{"a": 1, "a": 2}'), "payload_json: ", "names a field twice"),
    ("D10", payload_text("x", "1e400"), "x: ", "finite number"),
    ("D10", payload_text("duration_seconds", "1e400"), "duration_seconds: ", "finite number"),
    ("D10", payload_text("duration_seconds", "1" + "0" * 400), "duration_seconds: ", "finite number"),
    ("D10", payload_text("segment_count", "1" + "0" * 400), "segment_count: ", "at most 64 bits"),
    ("D10", payload_text("x", "1" + "0" * 400), "x: ", "at most 64 bits"),
    ("D10", payload_text("x", "1" * 5_000), "payload_json: ", "can't be read"),
    ("D10", json.dumps(a_payload() | {"k" * 1_000_000: 1}), "payload: has 10", "at most 10240"),
    ("D10", json.dumps(a_payload() | {"k" * 1_000_000: []}), "kkkk", "flat"),
    ("D10", "", "payload_json: ", "must be one JSON object"),
    ("D10", "null", "payload_json: ", "must be one JSON object"),
    ("D10", "[]", "payload_json: ", "must be one JSON object"),
    ("D10", "\ufeff{}", "payload_json: ", "must be one JSON object"),
    ("D10", "{}", "meeting_id: ", "is missing"),
]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(("fault", "text", "field", "word"), PAYLOADS, ids=map(str, range(len(PAYLOADS))))
def test_a_payload_that_receivers_would_read_otherwise_is_refused(
    stored_world: World, fault: str, text: str, field: str, word: str
) -> None:
    """With the field, the size or the reason; never later, and never as a fault of the server's."""
    assert fault
    with refused(INVALID, field, word):
        publish(stored_world, text)


@pytest.mark.usefixtures("unchanged")
def test_a_message_above_four_mebibytes_is_not_even_read(stored_world: World) -> None:
    """D9: gRPC itself says so, with both sizes."""
    with refused(FULL, "4194304"):
        publish(stored_world, "x" * 5_000_000)


TYPES: Final = [
    "",
    "a\r\nX: y",
    "../../etc/passwd",
    "<script>alert(1)</script>",
    "x" * 10_240,
    "webhook.test",
    "\x1b[2J",
]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("event_type", TYPES, ids=ascii)
def test_a_type_that_is_none_is_refused_with_those_that_are(stored_world: World, event_type: str) -> None:
    """D11: where it is published, subscribed to or asked for; the line is short, whatever was given."""
    with refused(INVALID, "event_type: ", "meeting.completed"):
        publish(stored_world, event_type=event_type)
    with refused(INVALID, "events: ", "meeting.completed"):
        register(stored_world, events=[event_type])
    if event_type not in ("", "webhook.test"):
        filtered: list[tuple[Any, Any]] = [
            (stored_world.client.webhooks.ListDeliveries, pb.ListDeliveriesRequest),
            (stored_world.client.webhooks.ReplayDeliveries, pb.ReplayDeliveriesRequest),
            (stored_world.client.webhooks.ListUndelivered, pb.ListUndeliveredRequest),
        ]
        for call, kind in filtered:
            with refused(INVALID, "event_type: ", "meeting.completed"):
                call(kind(event_type=event_type))


GOOD_BASE64: Final = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SECRETS: Final = [
    "",
    "a",
    "       8",
    "with a space",
    "x" * 7,
    "x" * 257,
    "x" * 10_240,
    "nön-ascii-secret",
    "tab\tinside",
    "whsec_",
    "whsec_" + "A" * 28,
    "whsec_" + GOOD_BASE64[:-1],
    "whsec_" + GOOD_BASE64[:-1] + "=",
    "whsec_" + GOOD_BASE64 + "\n",
    "whsec_ " + GOOD_BASE64,
    "whsec_" + GOOD_BASE64[:8] + "-_" + GOOD_BASE64[10:],
    "whsec_" + GOOD_BASE64[:8] + "!!" + GOOD_BASE64[10:],
    "whsec_" + GOOD_BASE64 + "AB==",
    "whsec_" + "A" * 88,
    "whsec_" + "A" * 10_240,
]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("secret", SECRETS, ids=map(str, range(len(SECRETS))))
def test_a_secret_that_receivers_would_decode_otherwise_is_refused(stored_world: World, secret: str) -> None:
    """D12: at registration and at a rotation; the refusal doesn't repeat it."""
    with pytest.raises(grpc.RpcError) as caught:
        register(stored_world, secret=secret)
    line = caught.value.details() or ""
    assert (caught.value.code(), line.partition(": ")[0]) == (INVALID, "secret")
    assert len(secret) < 8 or secret not in line
    with refused(INVALID, "secret: "):
        stored_world.client.webhooks.RotateWebhookSecret(
            pb.RotateWebhookSecretRequest(webhook_id=str(uuid4()), secret=secret)
        )


NUMBERS: Final = [float("nan"), float("inf"), float("-inf"), -1.0, 1e308]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_that_is_none_is_refused_by_its_field(stored_world: World, number: float) -> None:
    """D5: where a limit, a rate or a wait is asked for."""
    with refused(INVALID, "rate_limit_per_s: "):
        register(stored_world, rate_limit_per_s=number)
    with refused(INVALID, "rate_per_s: "):
        stored_world.client.webhooks.ReplayDeliveries(pb.ReplayDeliveriesRequest(rate_per_s=number))
    with refused(INVALID, "wait_seconds: "):
        stored_world.client.webhooks.TestWebhook(pb.TestWebhookRequest(webhook_id=str(uuid4()), wait_seconds=number))
