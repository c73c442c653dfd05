"""Which addresses a POST reaches: looked up anew for each connection, all checked, and only then dialled."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.deliveries import Claim
from noteflow_hooks.egress import EgressPolicy
from noteflow_hooks.executor import WebhookExecutor
from tests.support.builders import a_delivery, a_webhook
from tests.support.certificates import authority_pem
from tests.support.receiver import Receiver
from tests.support.receiver_connection import Answer
from tests.support.stopwatch import answered_within

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from noteflow_hooks.domain.deliveries import AttemptResult

NAME = "receiver.example"


class Names:
    """A name server that answers what the test says, and counts the look-ups."""

    def __init__(self, *answers: Sequence[str]) -> None:
        """Give these in turn, and the last one from then on."""
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver(tls=True, names=(NAME, "127.0.0.1", "localhost")) as running:
        yield running


def post(
    url: str, lookup: Callable[[str], Sequence[str]], *, times: int = 1, timeout_ms: int = 60_000
) -> AttemptResult:
    """Post with loopback allowed, and return the last result."""
    egress = EgressPolicy(allow=["127.0.0.0/8"], allow_http_loopback=True, lookup=lookup)
    executor = WebhookExecutor(egress, ca_bundle=authority_pem())
    claim = Claim(a_delivery(), a_webhook(url=url, timeout_ms=timeout_ms), b"{}")
    results = [executor.post(claim) for _ in range(times)]
    executor.close()
    return results[-1]


def test_a_name_is_looked_up_and_dialled_by_number(receiver: Receiver) -> None:
    """The certificate is checked against the name, the Host header names it, and the look-up is made once."""
    names = Names(["127.0.0.1"])
    assert post(receiver.url(host=NAME), names).succeeded
    [request] = receiver.requests
    assert request.header("Host") == f"{NAME}:{receiver.port}"
    assert names.asked == [NAME]


def test_a_roots_dot_is_looked_up_but_not_part_of_the_name(receiver: Receiver) -> None:
    """``host.`` is looked up as it stands; certificate and Host header have no dot."""
    names = Names(["127.0.0.1"])
    result = post(receiver.url(host=NAME + "."), names)
    assert result.succeeded, result
    assert receiver.requests[0].header("Host") == f"{NAME}:{receiver.port}"
    assert names.asked == [NAME + "."]


def test_an_address_needs_no_look_up(receiver: Receiver) -> None:
    """A literal is checked as it stands, and the certificate must be for it."""
    names = Names([])
    assert post(receiver.url(host="127.0.0.1"), names).succeeded
    assert names.asked == []


def test_a_name_that_changes_its_address_is_refused_at_the_next_connection(receiver: Receiver) -> None:
    """Every new connection is checked, so a name that first pointed somewhere allowed gains nothing."""
    receiver.script("/", Answer(headers=(("Connection", "close"),)))
    result = post(receiver.url(host=NAME), Names(["127.0.0.1"], ["10.0.0.1"]), times=2)
    assert (result.error_kind, result.error_message) == (ErrorKind.ADDRESS_NOT_ALLOWED, "address not allowed")
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("order", [1, -1])
def test_one_forbidden_answer_forbids_them_all(receiver: Receiver, order: int) -> None:
    """A name that also points inside is refused, whichever answer comes first."""
    result = post(receiver.url(host=NAME), Names(["127.0.0.1", "169.254.169.254"][::order]))
    assert result.error_kind is ErrorKind.ADDRESS_NOT_ALLOWED
    assert receiver.connections == 0


def test_the_next_address_is_tried(receiver: Receiver) -> None:
    """One address on which nobody listens does not fail the attempt."""
    assert post(receiver.url(host=NAME), Names(["127.0.0.2", "127.0.0.3", "127.0.0.1"])).succeeded


@pytest.mark.parametrize(
    ("fails", "problem"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "Name or service not known"),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), "Temporary failure"),
        (UnicodeError("label too long"), "no usable answer"),
    ],
)
def test_a_name_without_an_address_is_a_dns_failure(fails: Exception, problem: str) -> None:
    """Whatever the resolver raises is a value that says so."""

    def lookup(_host: str) -> Sequence[str]:
        raise fails

    result = post(f"https://{NAME}/", lookup)
    assert (result.error_kind, result.error_message) == (ErrorKind.DNS, f"Host name look-up failed: {problem}")


@pytest.mark.parametrize("answer", [[], ["nonsense"]])
def test_an_answer_without_an_address_is_a_dns_failure(answer: list[str]) -> None:
    """An empty or unreadable answer is none."""
    assert post(f"https://{NAME}/", Names(answer)).error_kind is ErrorKind.DNS


def test_five_hundred_addresses_are_all_checked() -> None:
    """The last one decides as much as the first."""
    allowed = [f"127.0.{n // 250}.{n % 250 + 1}" for n in range(499)]
    assert post(f"https://{NAME}/", Names([*allowed, "10.0.0.1"])).error_kind is ErrorKind.ADDRESS_NOT_ALLOWED


def test_a_silent_name_server_costs_the_timeout_and_no_more() -> None:
    """The look-up is under the deadline, and what is late is left behind."""
    answered = threading.Event()

    def silent(_host: str) -> Sequence[str]:
        answered.wait(120)
        return ["127.0.0.1"]

    with answered_within(40):
        result = post(f"https://{NAME}/", silent, timeout_ms=300)
    answered.set()
    assert (result.error_kind, result.error_message) == (ErrorKind.DNS, "Host name look-up timed out")


def test_http_reaches_loopback_only_for_loopbacks_own_names() -> None:
    """While the switch is on: localhost by http, but no other name, no https, and no other address."""
    egress = EgressPolicy(allow_http_loopback=True, lookup=Names(["127.0.0.1"]))
    elsewhere = EgressPolicy(allow_http_loopback=True, lookup=Names(["10.0.0.1"]))
    denied = EgressPolicy(allow_http_loopback=True, deny=["127.0.0.0/8"], lookup=Names(["127.0.0.1"]))
    with Receiver() as receiver:
        port = receiver.port
        outcomes = [
            _kind(egress, f"http://localhost:{port}/"),
            _kind(egress, f"http://127.0.0.1:{port}/"),
            _kind(egress, f"http://{NAME}:{port}/"),
            _kind(egress, f"https://localhost:{port}/"),
            _kind(egress, f"https://{NAME}:{port}/"),
            _kind(elsewhere, f"http://localhost:{port}/"),
            _kind(denied, f"http://localhost:{port}/"),
            _kind(EgressPolicy(lookup=Names(["127.0.0.1"])), f"http://localhost:{port}/"),
        ]
        assert receiver.connections == 2
    assert outcomes == [None, None, *[ErrorKind.ADDRESS_NOT_ALLOWED] * 6]


def _kind(egress: EgressPolicy, url: str) -> ErrorKind | None:
    executor = WebhookExecutor(egress)
    result = executor.post(Claim(a_delivery(), a_webhook(url=url), b"{}"))
    executor.close()
    return result.error_kind


def test_ipv6_loopback_works() -> None:
    """An IPv6 literal is dialled, and bracketed in the Host header."""
    try:
        receiver = Receiver(host="::1")
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    with receiver:
        result = _kind(EgressPolicy(allow_http_loopback=True), f"http://[::1]:{receiver.port}/")
        assert result is None
        assert receiver.requests[0].header("Host") == f"[::1]:{receiver.port}"
