"""A kept connection that has just ended costs the receiver no attempt, and is dialled anew once and no more."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import pytest

from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.deliveries import Claim
from noteflow_hooks.egress import EgressPolicy
from noteflow_hooks.executor import WebhookExecutor
from tests.support.builders import a_delivery, a_webhook
from tests.support.certificates import authority_pem
from tests.support.closing_receiver import ClosingReceiver
from tests.support.delaying_proxy import DelayingProxy
from tests.support.receiver import Receiver
from tests.support.receiver_connection import Answer, ReceiverConnection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from noteflow_hooks.domain.deliveries import AttemptResult
    from noteflow_hooks.domain.urls import EndpointUrl
    from noteflow_hooks.egress import Address
    from tests.support.receiver_connection import Behaviour

#: How a receiver ends a connection whose request it has read.
ENDS: Final[dict[str, Behaviour]] = {
    "closes": lambda _: None,
    "resets": ReceiverConnection.reset,
    "says that TLS ends": ReceiverConnection.end_tls,
}


def made(**options: Any) -> WebhookExecutor:  # noqa: ANN401 - the executor's own
    egress = EgressPolicy(allow=["127.0.0.0/8"], allow_http_loopback=True)
    return WebhookExecutor(egress, ca_bundle=authority_pem(), **options)


@pytest.fixture
def executor() -> Iterator[WebhookExecutor]:
    # For whose idle connections no time passes, however long a test takes; its deadlines never come.
    executor = made(monotonic=lambda: 0.0)
    yield executor
    executor.close()


@pytest.fixture(params=["http", "https"])
def receiver(request: pytest.FixtureRequest) -> Iterator[Receiver]:
    with Receiver(tls=request.param == "https") as running:
        yield running


def poster(executor: WebhookExecutor, url: str, **webhook: Any) -> Callable[[], AttemptResult]:  # noqa: ANN401 - its fields
    """Return what makes one attempt at always the same endpoint."""
    endpoint = a_webhook(url=url, **webhook)
    return lambda: executor.post(Claim(a_delivery(), endpoint, b"{}"))


@pytest.mark.parametrize("end", ENDS.values(), ids=list(ENDS))
def test_a_kept_connection_that_ends_unanswered_is_dialled_anew(
    executor: WebhookExecutor, receiver: Receiver, end: Behaviour
) -> None:
    """The same request goes out a second time, as the same attempt."""
    receiver.script("/", Answer(), end, Answer())
    post = poster(executor, receiver.url(host="localhost"))
    assert not post().redialled
    result = post()
    assert (result.status_code, result.error_kind, result.redialled) == (200, None, True)
    _, lost, again = receiver.requests
    assert (lost.connection, again.connection) == (1, 2)
    assert (lost.headers, lost.body) == (again.headers, again.body)
    # The new connection is kept in its turn.
    assert not post().redialled
    assert receiver.connections == 2


@pytest.mark.parametrize("end", ENDS.values(), ids=list(ENDS))
def test_a_new_connection_that_ends_unanswered_is_not_dialled_anew(
    executor: WebhookExecutor, receiver: Receiver, end: Behaviour
) -> None:
    """It is a failed attempt, as ever."""
    receiver.script("/", end)
    result = poster(executor, receiver.url(host="localhost"))()
    assert (result.error_kind, result.redialled) == (ErrorKind.CONNECT, False)
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("end", ENDS.values(), ids=list(ENDS))
def test_an_attempt_makes_two_posts_at_the_most(executor: WebhookExecutor, receiver: Receiver, end: Behaviour) -> None:
    """Where the new connection ends as well, the attempt has failed."""
    receiver.script("/", Answer(), end)
    post = poster(executor, receiver.url(host="localhost"))
    post()
    result = post()
    assert (result.error_kind, result.redialled) == (ErrorKind.CONNECT, True)
    assert len(receiver.requests) == 3


@pytest.mark.parametrize(
    "begin",
    [
        lambda connection: connection.send(b"H"),
        lambda connection: connection.send(b"HTTP/1.1 100 Continue\r\n\r\n"),
        lambda connection: connection.send(b"HTTP/1.1 200 OK\r\nContent-"),
        # Half of a TLS record, of which nobody can tell what is in it; or bytes that are no HTTP.
        lambda connection: connection.send_beneath(b"\x17\x03\x03\x00\x40half of it"),
    ],
    ids=["a byte", "an interim answer", "half a head", "half a record"],
)
def test_an_answer_that_has_begun_is_not_asked_for_anew(
    executor: WebhookExecutor, receiver: Receiver, begin: Behaviour
) -> None:
    """The receiver has worked on it: what became of that, only it knows."""
    receiver.script("/", Answer(), begin)
    post = poster(executor, receiver.url(host="localhost"))
    post()
    result = post()
    assert result.error_kind is not None
    assert not result.redialled
    assert len(receiver.requests) == 2


def test_a_kept_connection_that_stays_silent_is_a_timeout(receiver: Receiver) -> None:
    """Silence is no end: the request may still be worked on."""
    receiver.script("/", Answer(), ReceiverConnection.wait_for_end)
    executor = made()
    post = poster(executor, receiver.url(host="localhost"), timeout_ms=1_000)
    post()
    result = post()
    executor.close()
    assert (result.error_kind, result.redialled) == (ErrorKind.TIMEOUT, False)
    assert len(receiver.requests) == 2


def test_both_posts_have_one_deadline(receiver: Receiver) -> None:
    """The second one has what the first has left of the attempt's time."""
    clock = [10.0]
    left: list[float] = []

    class Watched(EgressPolicy):
        """Notes how much time each look-up has."""

        def addresses(self, url: EndpointUrl, *, timeout_s: float) -> tuple[Address, ...]:
            left.append(timeout_s)
            return super().addresses(url, timeout_s=timeout_s)

    def late(connection: ReceiverConnection) -> None:
        clock[0] += 0.75
        connection.reset()

    egress = Watched(allow=["127.0.0.0/8"], allow_http_loopback=True)
    executor = WebhookExecutor(egress, ca_bundle=authority_pem(), monotonic=lambda: clock[0])
    post = poster(executor, receiver.url(host="localhost"), timeout_ms=60_000)
    post()
    receiver.script("/", late, Answer())
    assert post().redialled
    executor.close()
    assert left == [60.0, 59.25]


def test_what_closes_while_a_request_is_under_way_costs_no_attempt() -> None:
    """A receiver behind 80 ms of network closes what is idle, and the next request crosses the word of it."""
    with ClosingReceiver() as receiver, DelayingProxy(receiver.port, round_trip_s=0.08) as network:
        executor = made(monotonic=lambda: 0.0)
        post = poster(executor, network.url())
        results = [post()]
        for _ in range(25):
            receiver.close_idle()
            results.append(post())
        executor.close()
    assert [each.error_kind for each in results] == [None] * 26
    # Where the machine is slow the word of the end arrives first, and the connection is not used again.
    assert any(each.redialled for each in results)
    assert receiver.taken <= 26 + sum(each.redialled for each in results)


def test_a_reload_under_load_costs_no_attempt() -> None:
    """All that is kept is closed again and again, while requests come all the time."""
    closing = threading.Event()
    with ClosingReceiver() as receiver, ThreadPoolExecutor(9) as threads:
        executor = made()
        post = poster(executor, receiver.url())

        def reload() -> None:
            while not closing.wait(0.002):
                receiver.close_idle()

        reloading = threads.submit(reload)
        results = list(threads.map(lambda _: post(), range(1_000)))
        closing.set()
        reloading.result()
        executor.close()
    assert {each.error_kind for each in results} == {None}
    assert any(each.redialled for each in results)


@pytest.mark.parametrize(
    ("keep_alive", "idle_s", "connections"),
    [
        (None, 1.4, 1),
        (None, 1.6, 2),
        ("timeout=5", 1.4, 1),
        ("timeout=5, max=100", 1.6, 2),
        ("timeout=60", 1.6, 2),
        ("timeout=1", 0.4, 1),
        ("timeout=1", 0.9, 2),
        ("max=5, timeout=1", 0.9, 2),
        ("Timeout=2", 1.2, 2),
        ("timeout=0", 0.0, 2),
        ("timeout=soon", 1.4, 1),
        ("timeout=" + "9" * 5_000, 1.4, 1),
    ],
)
def test_a_kept_connection_is_given_up_before_the_receiver_closes_it(
    keep_alive: str | None, idle_s: float, connections: int
) -> None:
    """After 1.5 s, or in good time before what the receiver says in ``Keep-Alive``."""
    clock = [0.0]
    headers = () if keep_alive is None else (("Keep-Alive", keep_alive),)
    with Receiver() as receiver:
        receiver.script("/", Answer(headers=headers))
        executor = made(monotonic=lambda: clock[0])
        post = poster(executor, receiver.url())
        post()
        clock[0] = idle_s
        assert post().succeeded
        executor.close()
        assert receiver.connections == connections
