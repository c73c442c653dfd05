"""Formats on the wire: what is signed is what is sent, and each attempt is what the delivery's rendering says."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from standardwebhooks import Webhook as StandardWebhook

from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.deliveries import Claim
from noteflow_hooks.domain.options import EndpointOptions, Format
from noteflow_hooks.domain.renderings import EventFacts, Rendering
from noteflow_hooks.egress import EgressPolicy
from noteflow_hooks.executor import WebhookExecutor
from noteflow_hooks.signing import generate_secret, verify_signature, verify_standard
from tests.support.builders import NOON, a_delivery, a_webhook
from tests.support.certificates import authority_pem
from tests.support.receiver import Receiver
from tests.support.receiver_connection import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator

PAYLOAD: Final = '{"event":"meeting.completed","meeting_id":"m-1","title":"Größe"}'.encode()
SIGNED: Final = [each for each in Format if not each.is_preset]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver(tls=True) as running:
        yield running


@pytest.fixture
def executor() -> Iterator[WebhookExecutor]:
    made = WebhookExecutor(EgressPolicy(allow=["127.0.0.0/8"]), ca_bundle=authority_pem())
    yield made
    made.close()


def a_claim(receiver: Receiver, chosen: str, **webhook: Any) -> Claim:  # noqa: ANN401 - the field's own
    """Return a first claim of an endpoint with that format."""
    endpoint = a_webhook(url=receiver.url(), options=EndpointOptions(format=Format(chosen)), **webhook)
    delivery = a_delivery(rendering=Rendering.of(endpoint).stored)
    return Claim(delivery, endpoint, PAYLOAD, facts=EventFacts("m-1", NOON))


@pytest.mark.parametrize("chosen", SIGNED)
def test_what_is_signed_is_what_is_rendered(executor: WebhookExecutor, receiver: Receiver, chosen: Format) -> None:
    """By both schemes, over the whole body; its length and ids are those of any other request."""
    secret = generate_secret()
    claim = a_claim(receiver, chosen, secret=secret)
    assert executor.post(claim).succeeded
    [request] = receiver.requests
    headers = {name.lower(): value for name, value in request.headers}
    assert verify_signature(request.body, headers["x-noteflow-signature"], secret)
    assert verify_standard(request.body, headers, secret)
    StandardWebhook(secret).verify(request.body, headers)
    assert headers["content-length"] == str(len(request.body))
    assert headers["webhook-id"] == str(claim.delivery.event_id)
    assert headers["x-noteflow-delivery"] == str(claim.delivery.id)
    assert headers["x-noteflow-event"] == "meeting.completed"
    assert headers["x-noteflow-payload-version"] == "1"
    assert len(headers) == len(request.headers)


@pytest.mark.parametrize("chosen", [each for each in Format if each.is_preset])
def test_a_preset_s_request_says_nothing_of_us(executor: WebhookExecutor, receiver: Receiver, chosen: Format) -> None:
    """Neither ids nor signatures: it is a message to a chat, in the vendor's shape."""
    assert executor.post(a_claim(receiver, chosen)).succeeded
    [request] = receiver.requests
    assert [name for name, _ in request.headers] == [
        "Host",
        "User-Agent",
        "Accept",
        "Accept-Encoding",
        "Content-Type",
        "Content-Length",
    ]
    assert "Größe" in json.dumps(json.loads(request.body), ensure_ascii=False)


def test_the_standard_envelope_has_the_payload_inside(executor: WebhookExecutor, receiver: Receiver) -> None:
    """Byte by byte."""
    assert executor.post(a_claim(receiver, "standard")).succeeded
    [request] = receiver.requests
    assert request.body == b'{"type":"meeting.completed","timestamp":"2024-01-31T12:00:00.000000Z","data":%s}' % PAYLOAD


@pytest.mark.parametrize("chosen", ["cloudevents", "cloudevents-binary"])
def test_the_sdk_reads_an_event_off_the_wire(executor: WebhookExecutor, receiver: Receiver, chosen: str) -> None:
    """As a receiver that uses it would: whole headers, whole body."""
    claim = a_claim(receiver, chosen)
    assert executor.post(claim).succeeded
    [request] = receiver.requests
    event = from_http_event(HTTPMessage(dict(request.headers), request.body))
    assert (event.get_id(), event.get_subject()) == (str(claim.delivery.event_id), "m-1")
    assert event.get_data() == json.loads(PAYLOAD)


def test_a_retry_is_rendered_as_it_was_begun(executor: WebhookExecutor, receiver: Receiver) -> None:
    """Whatever the endpoint wants by then; one that was begun as the payload alone stays so, too."""
    receiver.script("/", Answer(500), Answer(200), Answer(500), Answer(200))
    for begun, then in (("cloudevents", Format.STANDARD), ("noteflow", Format.CLOUDEVENTS_BINARY)):
        first = a_claim(receiver, begun)
        assert not executor.post(first).succeeded
        changed = replace(first.webhook, options=EndpointOptions(format=then))
        assert executor.post(replace(first, webhook=changed)).succeeded
    for one, other in (receiver.requests[:2], receiver.requests[2:]):
        varying = ("webhook-timestamp", "webhook-signature")
        assert one.body == other.body
        assert [each for each in one.headers if each[0] not in varying] == [
            each for each in other.headers if each[0] not in varying
        ]


@pytest.mark.parametrize(
    ("rendering", "damage", "says"),
    [
        ("cloudevents/1/1", {"facts": None}, "Can't be rendered: the event's row holds what it may not"),
        ("cloudevents/1/99", {}, "no renderer has the number 99"),
        ("c4n4ry", {}, "Can't be rendered: the delivery's rendering is none of ours"),
        ("standard/1/1", {"payload": b'"c4n4ry%s"' % bytes(b"x" * 16_384)}, "at most 16384 are sent"),
    ],
    ids=["no facts", "no such renderer", "no rendering", "too large"],
)
def test_what_can_t_be_rendered_is_our_own_fault(
    executor: WebhookExecutor,
    receiver: Receiver,
    caplog: pytest.LogCaptureFixture,
    *,
    rendering: str,
    damage: dict[str, Any],
    says: str,
) -> None:
    """Nothing is sent, no budget is touched, and there is no traceback, which could show the payload."""
    caplog.set_level(logging.DEBUG)
    whole = a_claim(receiver, "cloudevents")
    claim = replace(whole, delivery=whole.delivery._replace(rendering=rendering), **damage)
    result = executor.post(claim)
    assert result.error_kind is ErrorKind.INTERNAL
    assert result.is_our_fault
    assert says in (result.error_message or "")
    assert receiver.connections == 0
    assert not any(record.exc_info for record in caplog.records)
    assert "c4n4ry" not in f"{caplog.text}{result.error_message}"
    assert executor.post(whole).succeeded


def test_ours_wins_over_a_stored_header_of_the_same_kind(executor: WebhookExecutor, receiver: Receiver) -> None:
    """An earlier release let endpoints have them; what is no part of the format goes on as it did."""
    stored = (("ce-id", "theirs"), ("CE_Source", "theirs"), ("ce-subject", "theirs"), ("X-Mine", "kept"))
    named = tuple(name for name, _ in stored)
    assert executor.post(a_claim(receiver, "cloudevents-binary", headers=stored, header_names=named)).succeeded
    assert executor.post(a_claim(receiver, "noteflow", headers=stored, header_names=named)).succeeded
    binary, usual = receiver.requests
    assert "theirs" not in dict(binary.headers).values()
    assert dict(binary.headers)["X-Mine"] == dict(usual.headers)["X-Mine"] == "kept"
    assert usual.headers[-4:] == stored
