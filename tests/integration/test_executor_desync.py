"""Where one answer ends and the next begins: nothing that a receiver sends unasked is ever an answer."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

import pytest

from noteflow_hooks.domain.deliveries import Claim
from noteflow_hooks.egress import EgressPolicy
from noteflow_hooks.executor import WebhookExecutor
from tests.support.builders import a_delivery, a_webhook
from tests.support.certificates import authority_pem
from tests.support.hostile_cases.bodies import FORGED
from tests.support.hostile_cases.case import CHUNKED_OK, EMPTY_OK, OK
from tests.support.hostile_receiver import says_and_waits
from tests.support.receiver import Receiver
from tests.support.receiver_connection import Answer
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.receiver_connection import ReceiverConnection

#: Answers that end where they say.
FRAMED: Final = {
    "a length": EMPTY_OK,
    "chunks": CHUNKED_OK + b"2\r\nok\r\n0\r\n\r\n",
    "no body": b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
}
#: Answers of which careless readers would not all say that they end at the same byte.
AMBIGUOUS: Final = {
    "a signed chunk": CHUNKED_OK + b"+2\r\nok\r\n0\r\n\r\n",
    "a prefixed chunk": CHUNKED_OK + b"0x2\r\nok\r\n0\r\n\r\n",
    "a chunk with an underscore": CHUNKED_OK + b"0_2\r\nok\r\n0\r\n\r\n",
    "a chunk with a blank before": CHUNKED_OK + b" 2\r\nok\r\n0\r\n\r\n",
    "a chunk that is no number": CHUNKED_OK + b"zz\r\n\r\n",
    "an empty size": CHUNKED_OK + b"\r\n\r\n",
    "a longer chunk than it says": CHUNKED_OK + b"2\r\nokXX0\r\n\r\n",
    "chunks that end with LF": CHUNKED_OK + b"2\nok\n0\n\n",
    "an extension with a CR": CHUNKED_OK + b"2;a\rb\r\nok\r\n0\r\n\r\n",
    "a blank before a colon": OK + b"Transfer-Encoding : chunked\r\nContent-Length: 0\r\n\r\n",
    "two lengths": OK + b"Content-Length: 0\r\nContent-Length: 38\r\n\r\n",
    "a length in hex": OK + b"Content-Length: 0x0\r\n\r\n",
}


@pytest.fixture(scope="module", params=["http", "https"])
def receiver(request: pytest.FixtureRequest) -> Iterator[Receiver]:
    with Receiver(tls=request.param == "https") as running:
        yield running


@pytest.fixture
def executor() -> Iterator[WebhookExecutor]:
    egress = EgressPolicy(allow=["127.0.0.0/8"], allow_http_loopback=True)
    # For whose idle connections no time passes, however long a test takes.
    made = WebhookExecutor(egress, ca_bundle=authority_pem(), monotonic=lambda: 0.0)
    yield made
    made.close()


def a_claim(receiver: Receiver) -> Claim:
    return Claim(a_delivery(), a_webhook(url=receiver.url(), timeout_ms=60_000), b"{}")


@pytest.mark.parametrize("answer", [*FRAMED.values(), *AMBIGUOUS.values()], ids=[*FRAMED, *AMBIGUOUS])
def test_a_second_answer_is_not_the_next_requests(executor: WebhookExecutor, receiver: Receiver, answer: bytes) -> None:
    """The next POST goes over a connection of its own, and has what was answered there."""
    receiver.script("/", says_and_waits(answer + FORGED), Answer(503))
    claim, before = a_claim(receiver), receiver.connections
    assert executor.post(claim).succeeded
    assert executor.post(claim).status_code == 503
    assert receiver.connections - before == 2


@pytest.mark.parametrize("answer", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_a_connection_whose_answer_was_ambiguous_is_not_used_again(
    executor: WebhookExecutor, receiver: Receiver, answer: bytes
) -> None:
    """Also where nothing came behind it: what comes next could be either's."""
    receiver.script("/", says_and_waits(answer), Answer(503))
    claim, before = a_claim(receiver), receiver.connections
    assert executor.post(claim).succeeded
    assert executor.post(claim).status_code == 503
    assert receiver.connections - before == 2


def test_an_answer_that_comes_unasked_is_not_the_next_requests(executor: WebhookExecutor, receiver: Receiver) -> None:
    """Also where it was not there yet when the first one had been read."""
    was_read, has_sent = threading.Event(), threading.Event()

    def answers_again(connection: ReceiverConnection) -> None:
        connection.send(EMPTY_OK)
        was_read.wait(PATIENCE_S)
        connection.send(FORGED)
        has_sent.set()
        connection.wait_for_end()

    receiver.script("/", answers_again, Answer(503))
    claim, before = a_claim(receiver), receiver.connections
    assert executor.post(claim).succeeded
    was_read.set()
    assert has_sent.wait(PATIENCE_S)
    assert executor.post(claim).status_code == 503
    assert receiver.connections - before == 2


def test_trailers_and_extensions_end_where_they_end(executor: WebhookExecutor, receiver: Receiver) -> None:
    """What is framed as it should be leaves the connection to be used, and its trailers mean nothing."""
    framed = CHUNKED_OK + b"2;name=value\r\nok\r\n0\r\nConnection: close\r\nSet-Cookie: a=b\r\n\r\n"

    def answers_twice(connection: ReceiverConnection) -> None:
        connection.send(framed)
        connection.read_request()
        connection.send(EMPTY_OK)

    receiver.script("/", answers_twice)
    claim, before = a_claim(receiver), receiver.connections
    assert [executor.post(claim).response_body for _ in range(2)] == ["ok", ""]
    assert receiver.connections - before == 1


def test_no_cookie_is_ever_sent_back(executor: WebhookExecutor, receiver: Receiver) -> None:
    """Neither over the same connection nor over another, and what answers set changes no later request."""
    cookies = tuple(("Set-Cookie", each) for each in ("id=1; Path=/", "sid=2; Secure; Domain=127.0.0.1"))
    headers = (*cookies, ("Strict-Transport-Security", "max-age=9"), ("Alt-Svc", 'h3=":1"'), ("Link", "</x>"))
    closing = (*headers, ("Connection", "close"))
    receiver.script("/", Answer(headers=headers), Answer(headers=closing), Answer())
    claim, before = a_claim(receiver), len(receiver.requests)
    assert all(executor.post(claim).succeeded for _ in range(3))
    names = [sorted(name for name, _ in request.headers) for request in receiver.requests[before:]]
    assert names[0] == names[1] == names[2]
    assert "Cookie" not in names[0]
