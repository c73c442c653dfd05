"""The executor's POST as a receiver sees it: signed as it is sent, over connections that stay with their webhook."""

from __future__ import annotations

import errno
import hashlib
import hmac
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import standardwebhooks

from noteflow_hooks import __version__
from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.deliveries import Claim
from noteflow_hooks.egress import EgressPolicy
from noteflow_hooks.executor import WebhookExecutor
from noteflow_hooks.executor.http import dialling
from noteflow_hooks.executor.http.trust import tls_context
from noteflow_hooks.logs import TextFormatter
from noteflow_hooks.signing import generate_secret
from tests.support.builders import a_delivery, a_webhook
from tests.support.certificates import authority_pem
from tests.support.delivery_system import System
from tests.support.hostile_receiver import EMPTY_OK, says_and_waits
from tests.support.receiver import Receiver
from tests.support.receiver_connection import Answer
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.receiver_connection import ReceivedRequest, ReceiverConnection

PAYLOAD = '{"event":"meeting.completed","title":"Prüfung ✓ \\u0000","duration_seconds":1e-7}'.encode()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture
def executor() -> Iterator[WebhookExecutor]:
    # For whose idle connections no time passes, however long a test takes; its deadlines never come.
    made = WebhookExecutor(EgressPolicy(allow_http_loopback=True), monotonic=lambda: 0.0)
    yield made
    made.close()


def a_claim(url: str, *, payload: bytes = PAYLOAD, **webhook: Any) -> Claim:  # noqa: ANN401 - its fields
    return Claim(a_delivery(), a_webhook(url=url, **webhook), payload)


def standard_headers(request: ReceivedRequest) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers}


def test_the_headers_are_those_of_the_contract(executor: WebhookExecutor, receiver: Receiver) -> None:
    """An unsigned POST has these headers and no others."""
    claim = a_claim(receiver.url("/hooks?key=1"))
    assert executor.post(claim).succeeded
    [request] = receiver.requests
    assert (request.method, request.target) == ("POST", "/hooks?key=1")
    timestamp = request.header("webhook-timestamp") or ""
    assert abs(int(timestamp) - request.received_at.timestamp()) < 30
    assert dict(request.headers) == {
        "Host": f"127.0.0.1:{receiver.port}",
        "User-Agent": f"NoteFlow-Hooks/{__version__}",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
        "Content-Length": str(len(PAYLOAD)),
        "X-NoteFlow-Event": "meeting.completed",
        "X-NoteFlow-Payload-Version": "1",
        "X-NoteFlow-Delivery": str(claim.delivery.id),
        "webhook-id": str(claim.delivery.event_id),
        "webhook-timestamp": timestamp,
    }


def test_both_signatures_verify_over_the_bytes_that_came(executor: WebhookExecutor, receiver: Receiver) -> None:
    """The body is the payload byte for byte, and independent code accepts both signatures over it."""
    secret = generate_secret()
    assert executor.post(a_claim(receiver.url(), secret=secret)).succeeded
    [request] = receiver.requests
    assert request.body == PAYLOAD
    digest = hmac.new(secret.encode(), request.body, hashlib.sha256).hexdigest()
    assert request.header("X-NoteFlow-Signature") == f"sha256={digest}"
    standardwebhooks.Webhook(secret).verify(request.body, standard_headers(request))


def test_both_secrets_sign_during_a_rotation_and_one_after_it(executor: WebhookExecutor, receiver: Receiver) -> None:
    """The overlap has both signatures, newest first; after it the old secret no longer signs."""
    new, old = generate_secret(), generate_secret()
    for wait in (timedelta(hours=1), timedelta(hours=-1)):
        expires_at = datetime.now(UTC) + wait
        claim = a_claim(receiver.url(), secret=new, previous_secret=old, previous_secret_expires_at=expires_at)
        assert executor.post(claim).succeeded
    during, after = receiver.requests
    for secret in (new, old):
        standardwebhooks.Webhook(secret).verify(during.body, standard_headers(during))
    assert len((after.header("webhook-signature") or "").split(" ")) == 1
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(old).verify(after.body, standard_headers(after))


def test_a_secret_that_no_key_decrypts_sends_nothing(executor: WebhookExecutor, receiver: Receiver) -> None:
    """Rather no POST than an unsigned one."""
    result = executor.post(a_claim(receiver.url(), secret_unavailable=True))
    assert result.error_kind is ErrorKind.SECRET_UNAVAILABLE
    assert receiver.connections == 0


@pytest.mark.parametrize(
    "url",
    ["", "nonsense", "ftp://example.com/", "http://example.com/", "https://[::1", "https://a b/", "https://1.2.3/"],
)
def test_a_url_that_should_not_be_in_the_database_is_a_failed_attempt(executor: WebhookExecutor, url: str) -> None:
    """A damaged row is a value too, and its message doesn't repeat the URL."""
    result = executor.post(a_claim(url))
    assert result.error_kind is ErrorKind.ADDRESS_NOT_ALLOWED
    assert (result.error_message or "").startswith("URL not allowed: ")


def test_what_nobody_expected_is_an_internal_failure_with_a_traceback(
    executor: WebhookExecutor, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """An event type that can't be a header's value raises nothing; the log has the traceback."""
    delivery = a_delivery(event_type="meeting\r\nX-Injected: 1")
    result = executor.post(Claim(delivery, a_webhook(url=receiver.url(), secret="s3cret-s3cret"), b"{}"))
    assert (result.error_kind, result.error_message) == (ErrorKind.INTERNAL, "Internal error")
    [record] = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert record.exc_info
    assert "s3cret" not in caplog.text
    assert receiver.requests == []


def test_a_machine_without_descriptors_is_no_fault_of_the_receivers(
    executor: WebhookExecutor, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What we run out of is an internal failure, not a failed connection."""

    def no_socket(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(dialling, "_connected", no_socket)
    assert executor.post(a_claim(receiver.url())).error_kind is ErrorKind.INTERNAL


@pytest.mark.parametrize("status", [200, 500])
def test_an_attempt_is_logged_with_its_host_and_nothing_private(
    executor: WebhookExecutor, receiver: Receiver, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    """Whatever logs at DEBUG until its result is stored, ids and the host are there; path, query, secret are not."""
    receiver.script("/private-path", Answer(status, body=b"private-body"))
    caplog.set_level(logging.DEBUG)
    caplog.handler.setFormatter(TextFormatter())
    system = System(executor.post)
    url = receiver.url("/private-path?private-query")
    [delivery_id] = system.deliveries(1, url=url, secret="private-secret")
    system.deliver([delivery_id])
    system.bulkhead.close()
    [request] = receiver.requests
    assert request.target == "/private-path?private-query"
    assert f" delivery={delivery_id} " in caplog.text
    assert f" host=127.0.0.1 attempt=1 outcome={'succeeded' if status == 200 else 'retrying'} " in caplog.text
    assert "private" not in caplog.text


def test_one_webhook_keeps_its_connection_and_another_gets_its_own(
    executor: WebhookExecutor, receiver: Receiver
) -> None:
    """Connections are used again within a webhook, and never by another to the same address."""
    first, second = a_claim(receiver.url("/a")), a_claim(receiver.url("/b"))
    for claim in (first, second, first, second):
        assert executor.post(claim).succeeded
    assert [request.connection for request in receiver.requests] == [1, 2, 1, 2]


def test_an_idle_connection_is_not_used_for_long(receiver: Receiver) -> None:
    """Many servers close idle connections after 2 s; before that a new one is opened."""
    moment = 0.0
    executor = WebhookExecutor(EgressPolicy(allow_http_loopback=True), monotonic=lambda: moment)
    claim = a_claim(receiver.url())
    for moment in (0.0, 1.4, 3.0):  # noqa: B007 - read by the clock
        assert executor.post(claim).succeeded
    executor.close()
    assert [request.connection for request in receiver.requests] == [1, 1, 2]


@pytest.mark.parametrize(
    "answer",
    [
        EMPTY_OK + b"more",
        b"HTTP/1.1 204 No Content\r\n\r\nbody",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nmore",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    ],
    ids=["surplus", "body of a 204", "after chunks", "close", "1.0", "beyond the cap", "two framings"],
)
def test_a_connection_with_anything_left_on_it_is_not_used_again(
    executor: WebhookExecutor, receiver: Receiver, answer: bytes
) -> None:
    """Where one answer ends and the next would begin must be beyond doubt."""
    receiver.script("/", says_and_waits(answer), Answer())
    claim = a_claim(receiver.url())
    assert executor.post(claim).succeeded
    assert executor.post(claim).succeeded
    assert [request.connection for request in receiver.requests] == [1, 2]


def test_a_chunked_answer_leaves_a_connection_to_be_used(executor: WebhookExecutor, receiver: Receiver) -> None:
    """Chunks are put together, and the connection goes on where they end."""
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-T: 1\r\n\r\n"

    def answers_twice(connection: ReceiverConnection) -> None:
        connection.send(chunked)
        connection.read_request()
        connection.send(EMPTY_OK)

    receiver.script("/", answers_twice)
    claim = a_claim(receiver.url())
    assert [executor.post(claim).response_body for _ in range(2)] == ["abcde", ""]
    assert receiver.connections == 1


def test_a_connection_that_the_receiver_closed_is_not_used_again(executor: WebhookExecutor, receiver: Receiver) -> None:
    """The end of an idle connection is noticed before it is used."""
    has_closed = threading.Event()

    def answers_and_closes(connection: ReceiverConnection) -> None:
        connection.send(EMPTY_OK)
        connection.hang_up()
        has_closed.set()

    receiver.script("/", answers_and_closes, Answer())
    claim = a_claim(receiver.url())
    assert executor.post(claim).succeeded
    assert has_closed.wait(PATIENCE_S)
    assert executor.post(claim).succeeded
    assert receiver.connections == 2


def test_close_closes_what_is_kept(executor: WebhookExecutor, receiver: Receiver) -> None:
    """After close nothing is kept open, and later posts still work, each on its own connection."""
    claim = a_claim(receiver.url())
    assert executor.post(claim).succeeded
    executor.close()
    assert executor.post(claim).succeeded
    assert executor.post(claim).succeeded
    assert [request.connection for request in receiver.requests] == [1, 2, 3]


def test_proxies_credentials_and_trust_of_the_environment_have_no_effect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    """Neither a proxy, nor a .netrc, nor a certificate bundle of the environment is used."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login ada password lovelace\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, receiver.url())
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(authority_pem()))
    tls_context.cache_clear()
    executor = WebhookExecutor(EgressPolicy(allow=["127.0.0.0/8"], allow_http_loopback=True))
    with Receiver() as plain, Receiver(tls=True) as secure:
        assert executor.post(a_claim(plain.url())).succeeded
        assert executor.post(a_claim(secure.url())).error_kind is ErrorKind.TLS
        [request] = plain.requests
    executor.close()
    assert request.header("Authorization") is None
    assert receiver.connections == 0


def test_a_redirect_is_not_followed(executor: WebhookExecutor, receiver: Receiver) -> None:
    """Each 3xx fails the attempt, and its Location sees no connection."""
    with Receiver() as canary:
        for status in (300, 301, 302, 303, 307, 308):
            receiver.script("/", Answer(status, (("Location", canary.url()),)))
            result = executor.post(a_claim(receiver.url()))
            assert (result.error_kind, result.error_message) == (ErrorKind.REDIRECT, f"HTTP {status}")
    assert canary.connections == 0


def test_a_failure_carries_body_status_and_wait(executor: WebhookExecutor, receiver: Receiver) -> None:
    """What a non-2xx answer says is on record, with the wait that it asks for."""
    receiver.script("/", Answer(429, (("Retry-After", "120.5"),), "slow\0 döwn".encode()))
    result = executor.post(a_claim(receiver.url()))
    assert (result.error_kind, result.error_message) == (ErrorKind.STATUS, "HTTP 429")
    assert (result.status_code, result.response_body) == (429, "slow\ufffd döwn")
    assert result.retry_after == timedelta(seconds=120.5)


def test_dozens_of_posts_run_at_once(executor: WebhookExecutor, receiver: Receiver) -> None:
    """Forty threads post to one webhook at the same time, each request complete and on a connection of its own."""
    webhook = a_webhook(url=receiver.url(), secret=generate_secret(), timeout_ms=30_000)
    claims = [Claim(a_delivery(), webhook, b'{"n":%d}' % n) for n in range(40)]
    receiver.hold()
    with ThreadPoolExecutor(40) as threads:
        results = threads.map(executor.post, claims)
        requests = receiver.wait_for(40)
        receiver.release()
        assert all(result.succeeded for result in results)
    assert {request.connection for request in requests} == set(range(1, 41))
    sent = {str(claim.delivery.id): claim.payload for claim in claims}
    assert {request.header("X-NoteFlow-Delivery"): request.body for request in requests} == sent


def test_the_times_are_the_clocks(receiver: Receiver) -> None:
    """The start is the clock's moment, and the signature's time with it."""
    moment = datetime(2026, 1, 31, 12, tzinfo=UTC)
    executor = WebhookExecutor(EgressPolicy(allow_http_loopback=True), now=lambda: moment, user_agent="Other/1")
    result = executor.post(a_claim(receiver.url()))
    executor.close()
    assert result.started_at == moment
    [request] = receiver.requests
    assert request.header("webhook-timestamp") == str(int(moment.timestamp()))
    assert request.header("User-Agent") == "Other/1"
