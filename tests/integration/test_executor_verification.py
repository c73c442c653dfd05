"""A challenge as a receiver sees it, and which answers count: nothing but the challenge itself, or a handshake."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest

from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.challenges import Challenge, Verification
from noteflow_hooks.domain.deliveries import Claim
from noteflow_hooks.domain.options import NO_OPTIONS, Format
from noteflow_hooks.domain.renderings import EventFacts, Rendering
from noteflow_hooks.domain.verification import as_asked, verification_event
from noteflow_hooks.egress import EgressPolicy
from noteflow_hooks.executor import WebhookExecutor
from noteflow_hooks.signing import generate_secret, verify_signature, verify_standard
from tests.support.builders import a_delivery, a_webhook
from tests.support.receiver import Receiver, closed_port
from tests.support.receiver_connection import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.receiver_connection import ReceivedRequest, ReceiverConnection

NOW: Final = datetime.now(UTC)
SECRET: Final = generate_secret()
CLOUDEVENTS: Final = [Format.CLOUDEVENTS, Format.CLOUDEVENTS_BINARY]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture
def executor() -> Iterator[WebhookExecutor]:
    made = WebhookExecutor(EgressPolicy(allow_http_loopback=True), origin="hooks.noteflow.example")
    yield made
    made.close()


def a_claim(url: str, *, pending: str | None = None, **overrides: Any) -> Claim:  # noqa: ANN401 - an endpoint's fields
    """Make the claim of a challenge: of a new endpoint, or of one that is to move."""
    challenge = Challenge.new(NOW)
    since = NOW if pending is None else None
    made = a_webhook(url=url, secret=SECRET, verification=Verification(since, None, pending, challenge), **overrides)
    event = verification_event(made, challenge, now=NOW)
    fields: dict[str, Any] = {"event_id": event.id, "event_type": event.event_type, "webhook_id": made.id}
    fields |= {"lease_expires_at": NOW + timedelta(seconds=20), "rendering": Rendering.of(made).stored}
    return as_asked(Claim(a_delivery(**fields), made, event.payload, targeted=True, facts=EventFacts(None, NOW)))


def text_of(claim: Claim) -> str:
    assert claim.challenge is not None
    return claim.challenge.text


def posted(executor: WebhookExecutor, receiver: Receiver, claim: Claim, *answers: Any) -> Any:  # noqa: ANN401 - results
    receiver.script("/hooks", *answers)
    return executor.post(claim)


def test_it_is_a_signed_post_with_the_challenge_in_it(executor: WebhookExecutor, receiver: Receiver) -> None:
    """Both signatures are over what is sent; the answer's body is not kept."""
    claim = a_claim(receiver.url("/hooks"))
    result = posted(executor, receiver, claim, Answer(200, body=text_of(claim).encode()))
    assert (result.succeeded, result.status_code, result.response_body) == (True, 200, None)
    [request] = receiver.requests
    assert json.loads(request.body)["challenge"] == text_of(claim)
    assert request.header("X-NoteFlow-Event") == "webhook.verification"
    headers = {name.lower(): value for name, value in request.headers}
    assert verify_signature(request.body, headers["x-noteflow-signature"], SECRET)
    assert verify_standard(request.body, headers, SECRET)


@pytest.mark.parametrize(
    ("kind", "where"), [(Format.STANDARD, "data"), (Format.CLOUDEVENTS, "data"), (Format.CLOUDEVENTS_BINARY, None)]
)
def test_the_challenge_stands_where_a_payload_does(
    executor: WebhookExecutor, receiver: Receiver, kind: Format, where: str | None
) -> None:
    """In each format, and signed as it is sent."""
    claim = a_claim(receiver.url("/hooks"), options=replace(NO_OPTIONS, format=kind))
    posted(executor, receiver, claim, Answer(405), Answer(200, body=text_of(claim).encode()))
    request = receiver.requests[-1]
    body = json.loads(request.body)
    assert (body if where is None else body[where])["challenge"] == text_of(claim)
    assert verify_standard(request.body, {name.lower(): value for name, value in request.headers}, SECRET)


def test_it_goes_to_where_the_endpoint_is_to_move(executor: WebhookExecutor, receiver: Receiver) -> None:
    """And not to where it is."""
    claim = a_claim("http://127.0.0.1:9/old", pending=receiver.url("/hooks"))
    assert posted(executor, receiver, claim, Answer(204, body=b"")).error_kind is ErrorKind.PROTOCOL
    assert posted(executor, receiver, claim, Answer(201, body=json.dumps({"challenge": text_of(claim)}).encode()))


@pytest.mark.parametrize(
    "made",
    [
        lambda _: b"ok",
        lambda _: b"",
        lambda text: text[:-1].encode(),
        lambda text: json.dumps({"challenge": text, "ok": True}).encode(),
        lambda text: b" " * 4096 + text.encode(),
        lambda text: (text + "x" * 60_000).encode(),
    ],
    ids=["ok", "nothing", "a part", "more than the challenge", "behind 4 KiB", "60 KB"],
)
def test_a_2xx_without_it_has_failed(
    executor: WebhookExecutor, receiver: Receiver, made: Callable[[str], bytes]
) -> None:
    """With a kind and a message that says what is wanted; the challenge is in neither."""
    claim = a_claim(receiver.url("/hooks"))
    result = posted(executor, receiver, claim, Answer(200, body=made(text_of(claim))))
    assert (result.succeeded, result.status_code, result.error_kind) == (False, 200, ErrorKind.PROTOCOL)
    assert result.error_message is not None
    assert "No challenge in the answer" in result.error_message
    assert (result.response_body, text_of(claim) in repr(result)) == (None, False)


def test_who_sends_the_request_back_has_shown_nothing(executor: WebhookExecutor, receiver: Receiver) -> None:
    """A server that echoes whatever it gets wants nothing in particular."""
    claim = a_claim(receiver.url("/hooks"))
    result = posted(executor, receiver, claim, Answer(200, body=claim.payload))
    assert result.error_kind is ErrorKind.PROTOCOL


def test_any_other_status_fails_as_ever(executor: WebhookExecutor, receiver: Receiver) -> None:
    """Whatever its body says, and the challenge is not kept of that."""
    claim = a_claim(receiver.url("/hooks"))
    for status, kind in ((403, ErrorKind.STATUS), (302, ErrorKind.REDIRECT), (500, ErrorKind.STATUS)):
        body = f"no: {text_of(claim)}".encode()
        result = posted(executor, receiver, claim, Answer(status, (("Location", receiver.url("/else")),), body))
        assert (result.error_kind, result.error_message) == (kind, f"HTTP {status}")
        assert result.response_body == "no: [redacted]"
    assert {each.path for each in receiver.requests} == {"/hooks"}


def test_no_more_than_4_kib_of_a_2xx_are_read(executor: WebhookExecutor, receiver: Receiver) -> None:
    """An answer without an end costs no time either."""

    def endless(connection: ReceiverConnection) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(3):
            connection.send(b"1000\r\n" + b"x" * 4096 + b"\r\n")
        connection.wait_for_end()

    result = posted(executor, receiver, a_claim(receiver.url("/hooks"), timeout_ms=30_000), endless)
    assert result.error_kind is ErrorKind.PROTOCOL
    assert result.duration_ms < 25_000


@pytest.mark.parametrize("granted", ["hooks.noteflow.example", "HOOKS.noteflow.example", "*"])
@pytest.mark.parametrize("kind", CLOUDEVENTS)
def test_cloudevents_handshake_counts(
    executor: WebhookExecutor, receiver: Receiver, kind: Format, granted: str
) -> None:
    """An OPTIONS request that names us, with the rate where there is one; no POST follows."""
    own: dict[str, Any] = {"rate_limit_per_s": 0.26, "headers": (("X-Key", "k"),)}
    claim = a_claim(receiver.url("/hooks?k=1"), options=replace(NO_OPTIONS, format=kind), **own)
    result = posted(executor, receiver, claim, Answer(200, (("WebHook-Allowed-Origin", granted),)))
    assert (result.succeeded, result.response_body) == (True, None)
    [request] = receiver.requests
    assert (request.method, request.target, request.body) == ("OPTIONS", "/hooks?k=1", b"")
    assert _asked(request) == ("hooks.noteflow.example", "16", "k")
    assert request.header("webhook-signature") is None


def _asked(request: ReceivedRequest) -> tuple[str | None, ...]:
    return tuple(request.header(name) for name in ("WebHook-Request-Origin", "WebHook-Request-Rate", "X-Key"))


@pytest.mark.parametrize(
    "answer",
    [
        Answer(405),
        Answer(200),
        Answer(200, (("WebHook-Allowed-Origin", "other.example"),)),
        Answer(403, (("WebHook-Allowed-Origin", "*"),)),
        Answer(307, (("WebHook-Allowed-Origin", "*"), ("Location", "/else"))),
        lambda connection: connection.reset(),
    ],
    ids=["405", "200", "another origin", "403", "redirect", "reset"],
)
def test_where_the_handshake_is_not_answered_the_challenge_follows(
    executor: WebhookExecutor,
    receiver: Receiver,
    answer: Any,  # noqa: ANN401 - a script
) -> None:
    """In the same attempt."""
    claim = a_claim(receiver.url("/hooks"), options=replace(NO_OPTIONS, format=Format.CLOUDEVENTS))
    assert posted(executor, receiver, claim, answer, Answer(200, body=text_of(claim).encode())).succeeded
    assert [each.method for each in receiver.requests] == ["OPTIONS", "POST"]


def test_other_endpoints_are_not_asked_by_a_handshake(executor: WebhookExecutor, receiver: Receiver) -> None:
    """An answer that would allow it to a POST allows nothing."""
    claim = a_claim(receiver.url("/hooks"))
    result = posted(executor, receiver, claim, Answer(200, (("WebHook-Allowed-Origin", "*"),)))
    assert result.error_kind is ErrorKind.PROTOCOL
    assert [each.method for each in receiver.requests] == ["POST"]


@pytest.mark.parametrize("kind", [Format.NOTEFLOW, *CLOUDEVENTS])
def test_both_pass_the_egress_rules(receiver: Receiver, kind: Format) -> None:
    """A private address is reached by neither."""
    strict = WebhookExecutor(EgressPolicy())
    claim = a_claim(f"https://127.0.0.1:{receiver.port}/hooks", options=replace(NO_OPTIONS, format=kind))
    assert strict.post(claim).error_kind is ErrorKind.ADDRESS_NOT_ALLOWED
    assert receiver.connections == 0
    strict.close()


def test_both_share_the_attempt_s_deadline(executor: WebhookExecutor, receiver: Receiver) -> None:
    """A handshake that hangs leaves no time for the challenge."""

    def hang(connection: ReceiverConnection) -> None:
        connection.wait_for_end()

    options = replace(NO_OPTIONS, format=Format.CLOUDEVENTS)
    result = posted(executor, receiver, a_claim(receiver.url("/hooks"), options=options, timeout_ms=300), hang)
    assert result.error_kind is ErrorKind.TIMEOUT
    assert [each.method for each in receiver.requests] == ["OPTIONS"]


def test_nothing_of_it_is_logged(
    executor: WebhookExecutor, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the challenge nor a URL's path, whatever happens."""
    caplog.set_level(logging.DEBUG)
    claim = a_claim(receiver.url("/hooks"), pending=receiver.url("/a-secret-path"))
    receiver.script("/a-secret-path", Answer(500, body=text_of(claim).encode()), Answer(200))
    for _ in range(2):
        executor.post(claim)
    with closed_port() as port:
        executor.post(a_claim("http://127.0.0.1:9/", pending=f"http://127.0.0.1:{port}/a-secret-path"))
    assert text_of(claim) not in caplog.text
    assert "a-secret-path" not in caplog.text
