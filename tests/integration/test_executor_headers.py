"""Custom headers on the wire: every attempt has them, and a damaged row's can't be sent, nor change the request."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.deliveries import Claim
from noteflow_hooks.egress import EgressPolicy
from noteflow_hooks.executor import WebhookExecutor
from tests.support.builders import a_delivery, a_webhook
from tests.support.certificates import authority_pem
from tests.support.receiver import Receiver
from tests.support.receiver_connection import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator

CANARY = "c4n4ry-of-a-header"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver(tls=True) as running:
        yield running


@pytest.fixture
def executor() -> Iterator[WebhookExecutor]:
    made = WebhookExecutor(EgressPolicy(allow=["127.0.0.0/8"]), ca_bundle=authority_pem())
    yield made
    made.close()


def a_claim(receiver: Receiver, *headers: tuple[str, str], **webhook: Any) -> Claim:  # noqa: ANN401 - the field's own
    names = tuple(name for name, _ in headers)
    endpoint = a_webhook(url=receiver.url(), headers=headers, header_names=names, **webhook)
    return Claim(a_delivery(), endpoint, b'{"event":"meeting.completed"}')


@pytest.mark.parametrize("name", ["Accept", "accept", "ACCEPT"])
def test_an_accept_header_of_the_endpoints_own_stands_alone(
    executor: WebhookExecutor, receiver: Receiver, name: str
) -> None:
    """It takes the place of ours, however it is written."""
    webhook = a_webhook(url=receiver.url(host="localhost"), headers=((name, "text/plain"),))
    assert executor.post(Claim(a_delivery(), webhook, b"{}")).succeeded
    [request] = receiver.requests
    assert [value for each, value in request.headers if each.lower() == "accept"] == ["text/plain"]


def test_custom_headers_arrive_over_tls_with_every_attempt(executor: WebhookExecutor, receiver: Receiver) -> None:
    """Each as it was given and once, beside the request's own, which are those of an endpoint without any."""
    receiver.script("/", Answer(500), Answer(200))
    claim = a_claim(receiver, ("Authorization", f"Bearer {CANARY}"), ("x-zone", "a \t b"), secret="a-secret-of-mine")
    assert not executor.post(claim).succeeded
    assert executor.post(claim).succeeded
    executor.post(a_claim(receiver, secret="a-secret-of-mine"))
    *both, plain = receiver.requests
    for request in both:
        assert request.headers[-2:] == (("Authorization", f"Bearer {CANARY}"), ("x-zone", "a \t b"))
        assert [name for name, _ in request.headers[:-2]] == [name for name, _ in plain.headers]
        assert request.body == claim.payload


@pytest.mark.parametrize(
    "damaged",
    [
        ("X-A", f"{CANARY}\r\nX-Injected: 1"),
        ("X-A", f"{CANARY}\r\n\r\nPOST / HTTP/1.1\r\nHost: other"),
        ("X-A", f"{CANARY}\r\n folded"),
        ("X-A", f"{CANARY}\n\tfolded"),
        ("X-A", f"{CANARY}\x00"),
        ("X-A", f"{CANARY} ✓"),
        (f"X-A: {CANARY}\r\nX-Injected", "1"),
        ("Transfer-Encoding", "chunked"),
        ("content-length", "0"),
        ("Host", "other.example"),
        ("webhook-signature", f"v1,{CANARY}"),
        ("X-NoteFlow-Event", CANARY),
    ],
    ids=repr,
)
def test_a_damaged_header_fails_its_attempt_alone(
    executor: WebhookExecutor, receiver: Receiver, caplog: pytest.LogCaptureFixture, damaged: tuple[str, str]
) -> None:
    """Nothing is sent, the value is neither on record nor in a log, and the endpoint beside it has its delivery."""
    caplog.set_level(logging.DEBUG)
    result = executor.post(a_claim(receiver, ("X-Fine", "v"), damaged))
    assert result.error_kind is ErrorKind.SECRET_UNAVAILABLE
    assert (result.error_message or "").startswith("Headers not allowed: ")
    assert receiver.connections == 0
    assert executor.post(a_claim(receiver, ("X-Fine", "v"))).succeeded
    assert CANARY not in f"{caplog.text}{result.error_message}"


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({"header_names": ("X-A",)}, "No key decrypts the webhook's headers"),
        ({"secret_unreadable": True}, "No key decrypts the webhook's secret"),
    ],
    ids=["headers", "secret"],
)
def test_what_no_key_decrypts_is_named_and_nothing_is_sent(
    executor: WebhookExecutor, receiver: Receiver, stored: dict[str, Any], message: str
) -> None:
    """So that it is known what to replace."""
    endpoint = a_webhook(url=receiver.url(), secret_unavailable=True, **stored)
    result = executor.post(Claim(a_delivery(), endpoint, b"{}"))
    assert (result.error_kind, result.error_message) == (ErrorKind.SECRET_UNAVAILABLE, message)
    assert receiver.connections == 0


def test_an_answer_that_echoes_the_request_is_kept_without_its_credentials(
    executor: WebhookExecutor, receiver: Receiver
) -> None:
    """What comes behind the first kilobytes of it included; signatures and all else stay."""
    secret = "a-secret-of-mine"
    echo = f'{"x" * 4090}{CANARY} {{"Authorization":"Bearer {CANARY}"}} {secret}'.encode()
    receiver.script("/", Answer(500, body=echo[4090:]), Answer(200, body=echo))
    claim = a_claim(receiver, ("Authorization", f"Bearer {CANARY}"), secret=secret)
    whole, cut = executor.post(claim), executor.post(claim)
    assert whole.response_body == '[redacted] {"Authorization":"[redacted]"} [redacted]'
    assert cut.response_body == "x" * 4090 + "[redac"


@pytest.mark.parametrize("event_type", ["a\r\nX-Injected: 1", "a\nb", "a\0b", "a\u2028b", "a\x85b"])
def test_an_event_type_that_would_not_stay_in_its_line_is_not_sent(
    executor: WebhookExecutor, receiver: Receiver, event_type: str
) -> None:
    """Its row was changed by hand: our own fault, on record as such, and nothing of it reaches the endpoint."""
    claim = Claim(a_delivery(event_type=event_type), a_webhook(url=receiver.url()), b"{}")
    assert executor.post(claim).error_kind is ErrorKind.INTERNAL
    assert not receiver.requests
