"""Where an attempt's time went, part by part, and the headers of both sides, over real connections."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest

from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.deliveries import AttemptResult, Claim
from noteflow_hooks.domain.exchanges import Exchange, Times, known_of, times_of
from noteflow_hooks.egress import EgressPolicy
from noteflow_hooks.executor import WebhookExecutor
from tests.support.builders import a_delivery, a_webhook
from tests.support.certificates import authority_pem
from tests.support.hostile_receiver import EMPTY_OK, OK, says
from tests.support.receiver import Receiver, closed_port
from tests.support.receiver_connection import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.receiver_connection import ReceiverConnection

#: How long a receiver takes its time.
PAUSE_S: Final = 0.1
PAUSE_MS: Final = 100


@pytest.fixture
def executor() -> Iterator[WebhookExecutor]:
    egress = EgressPolicy(allow=["127.0.0.0/8"], allow_http_loopback=True)
    executor = WebhookExecutor(egress, ca_bundle=authority_pem())
    yield executor
    executor.close()


@pytest.fixture(params=["http", "https"])
def receiver(request: pytest.FixtureRequest) -> Iterator[Receiver]:
    with Receiver(tls=request.param == "https") as running:
        yield running


def a_claim(url: str, **webhook: Any) -> Claim:  # noqa: ANN401 - the endpoint's fields
    endpoint = a_webhook(url=url, **webhook)
    return Claim(a_delivery(webhook_id=endpoint.id), endpoint, b"{}")


def exchange(result: AttemptResult) -> Exchange:
    assert result.exchange is not None
    return result.exchange


def times(result: AttemptResult) -> Times:
    found = times_of(result.exchange, result.duration_ms)
    parts = [each for each in found[:5] if each is not None]
    # Each is rounded by itself.
    assert sum(parts) <= result.duration_ms + 3
    return found


def heard(result: AttemptResult) -> dict[str, str]:
    headers = exchange(result).heard
    return {} if headers is None else dict(headers.form.filled(headers.values, {}))


def test_a_first_post_is_dialled_and_the_next_one_is_not(executor: WebhookExecutor, receiver: Receiver) -> None:
    """Look-up, connection, and the handshake over TLS; a kept connection has none of these."""
    claim = a_claim(receiver.url(host="localhost"))
    first, second = times(executor.post(claim)), times(executor.post(claim))
    is_tls = receiver.url().startswith("https")
    assert (first.dns_ms is not None, first.connect_ms is not None, first.tls_ms is not None) == (True, True, is_tls)
    assert (first.reused_connection, first.read_ms) == (False, 0)
    assert second[:3] == (None, None, None)
    assert (second.reused_connection, second.read_ms) == (True, 0)


def test_an_address_is_not_looked_up(executor: WebhookExecutor) -> None:
    """There is no time that it took."""
    with Receiver() as receiver:
        found = times(executor.post(a_claim(receiver.url())))
    assert (found.dns_ms, found.connect_ms is not None) == (None, True)


def test_a_receiver_that_thinks_is_waited_for(executor: WebhookExecutor, receiver: Receiver) -> None:
    """Before its head, and after it."""

    def thinks(connection: ReceiverConnection) -> None:
        connection.pause(PAUSE_S)
        connection.send(EMPTY_OK)

    def stammers(connection: ReceiverConnection) -> None:
        connection.send(OK + b"Content-Length: 2\r\n\r\n")
        connection.pause(PAUSE_S)
        connection.send(b"ok")

    receiver.script("/", thinks, stammers)
    claim = a_claim(receiver.url(host="localhost"))
    thought, stammered = times(executor.post(claim)), times(executor.post(claim))
    assert (thought.wait_ms or 0) >= PAUSE_MS
    assert thought.read_ms == 0
    assert (stammered.read_ms or 0) >= PAUSE_MS
    assert (stammered.wait_ms or 0) < (stammered.read_ms or 0)


def test_what_is_begun_ahead_has_its_times_too(executor: WebhookExecutor, receiver: Receiver) -> None:
    """Over a kept connection, where the answer comes before anybody waits for it."""
    claim = a_claim(receiver.url(host="localhost"))
    assert executor.post(claim).succeeded
    end = executor.begin(claim)
    receiver.wait_for(2)
    result = end()
    found = times(result)
    assert (found.reused_connection, found.dns_ms, found.wait_ms) == (True, None, result.duration_ms)


def test_a_second_connection_within_an_attempt_counts(executor: WebhookExecutor, receiver: Receiver) -> None:
    """Its parts are on record, and what went before is in the wait."""

    def closes(connection: ReceiverConnection) -> None:
        connection.pause(PAUSE_S)

    receiver.script("/", Answer(), closes, Answer())
    claim = a_claim(receiver.url(host="localhost"))
    assert executor.post(claim).succeeded
    result = executor.post(claim)
    found = times(result)
    assert (result.redialled, found.reused_connection, found.connect_ms is not None) == (True, False, True)
    assert (found.wait_ms or 0) >= PAUSE_MS


def test_no_answer_in_time_is_all_wait(executor: WebhookExecutor, receiver: Receiver) -> None:
    """Nothing was read, and the request is on record."""
    receiver.hold()
    result = executor.post(a_claim(receiver.url(host="localhost"), timeout_ms=100))
    receiver.release()
    found = times(result)
    assert result.error_kind is ErrorKind.TIMEOUT
    assert (found.read_ms, found.wait_ms is not None) == (None, True)
    assert exchange(result).sent is not None
    assert exchange(result).heard is None


def test_a_failure_shows_how_far_it_came(executor: WebhookExecutor) -> None:
    """Refused, a handshake that fails, an unknown name: the part that failed has its time, what follows has none."""
    with closed_port() as port:
        refused = executor.post(a_claim(f"http://localhost:{port}/"))
    with Receiver(tls=True, names=("elsewhere.example",)) as receiver:
        untrusted = executor.post(a_claim(receiver.url(host="localhost")))
    unknown = executor.post(a_claim("https://no-such-host.invalid/"))
    assert [each.error_kind for each in (refused, untrusted, unknown)] == [
        ErrorKind.CONNECT,
        ErrorKind.TLS,
        ErrorKind.DNS,
    ]
    reached = [[each is not None for each in times(result)[:5]] for result in (refused, untrusted, unknown)]
    assert reached == [
        [True, True, False, False, False],
        [True, True, True, False, False],
        [True, False, False, False, False],
    ]
    for result in (refused, untrusted, unknown):
        assert (exchange(result).sent, times(result).reused_connection) == (None, False)


def test_connecting_in_vain_takes_its_time(executor: WebhookExecutor) -> None:
    """A port whose queue is full answers nothing: all of the time went there."""
    with _full_port() as port:
        result = executor.post(a_claim(f"http://localhost:{port}/", timeout_ms=PAUSE_MS))
    found = times(result)
    assert result.error_kind is ErrorKind.TIMEOUT
    assert (found.connect_ms or 0) >= PAUSE_MS // 2
    assert (found.tls_ms, found.wait_ms) == (None, None)


@contextmanager
def _full_port() -> Iterator[int]:
    """Yield a port that takes no more connections."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        waiting = []
        for _ in range(4):
            sock = socket.socket()
            sock.setblocking(False)  # noqa: FBT003 - the socket's own way
            sock.connect_ex(listener.getsockname())
            waiting.append(sock)
        yield listener.getsockname()[1]
        for sock in waiting:
            sock.close()


def test_both_sides_headers_are_on_record(executor: WebhookExecutor, receiver: Receiver) -> None:
    """What the receiver got, name by name, and what it said; its owner's values are marked."""
    receiver.script("/", Answer(headers=(("Server", "tiny"), ("Set-Cookie", "id=1"), ("X-Request-Id", "7f"))))
    claim = a_claim(receiver.url(host="localhost"), headers=(("X-Key", "letmein-letmein"),), secret="s3cret-of-mine")
    for _ in range(2):
        result = executor.post(claim)
        sent = exchange(result).sent
        assert sent is not None
        delivery = claim.delivery
        second = int(result.started_at.timestamp())
        known = known_of(delivery_id=delivery.id, event_id=delivery.event_id, batch_id=None, second=second)
        got = receiver.requests[-1].headers
        marked = {"x-key", "x-noteflow-signature", "webhook-signature"}
        expected = [(name, "[redacted]" if name.lower() in marked else value) for name, value in got]
        assert list(sent.form.filled(sent.values, known)) == expected
        assert heard(result) == {
            "Content-Length": "2",
            "Server": "tiny",
            "Set-Cookie": "[redacted]",
            "X-Request-Id": "7f",
        }


def test_an_answer_that_is_read_by_the_rules_has_its_headers_too(executor: WebhookExecutor, receiver: Receiver) -> None:
    """In pieces, with lines that end oddly, in bytes that are no UTF-8, and with control characters."""
    head = OK + b"Transfer-Encoding: chunked\nX-Odd: a\x00b\x1b[31m\xff\r\nNo header\r\n\r\n"
    receiver.script("/", says(head, b"2\r\nok\r\n0\r\n\r\n"))
    result = executor.post(a_claim(receiver.url(host="localhost")))
    assert result.succeeded
    assert heard(result) == {"Transfer-Encoding": "chunked", "X-Odd": "a\ufffdb\ufffd[31m\xff", "[cut]": "1 more"}
