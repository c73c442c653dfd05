"""Whatever a receiver does, an attempt ends in time, as a value that says what happened."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.deliveries import Claim
from noteflow_hooks.domain.retry import RETRY_AFTER_CAP
from noteflow_hooks.egress import EgressPolicy
from noteflow_hooks.executor import WebhookExecutor
from tests.support.builders import EXACT, NOON, a_delivery, a_webhook
from tests.support.certificates import authority_pem
from tests.support.hostile_cases.case import HostileCase, fault_of
from tests.support.hostile_cases.faulty_listeners import FAULTY_LISTENERS, FaultyListener
from tests.support.hostile_receiver import floods, never_reads, trickles
from tests.support.hostile_server import CASES, HostileServer
from tests.support.receiver import Receiver, closed_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from noteflow_hooks.domain.deliveries import AttemptResult

TIMEOUT_MS: Final = 2_000
#: What only ends at the deadline, but for which an answer's head must come before it.
HEADED_MS: Final = 8_000
#: For what should need none of it.
PLENTY_MS: Final = 60_000
#: Generous: the machine may be busy. Plain requests would need the receiver's own time, which is without end.
AT_MOST_S: Final = 40
#: As many attempts at once as compute for their time, and as only wait for its end.
AT_WORK, WAITING = 12, 64

#: The faults that need more than one exchange, a name server or a network of their own, and where they are tested.
ELSEWHERE: Final = {
    "E16": "e2e/test_delivery.py::test_a_lost_answer_costs_one_duplicate_under_the_same_id",
    "E19": "e2e/test_engine.py::test_410_disables_and_the_others_are_told",
    "E20": "e2e/test_delivery.py::test_500_500_200_is_delivered_on_the_third_attempt",
    "E22": "integration/test_namespace_faults.py::test_a_network_that_refuses_is_a_failed_connection",
    "E23": "integration/test_namespace_faults.py::test_a_name_server_that_fails_fails_the_attempt_in_time",
    "E24": "conformance/test_clock.py::test_a_worker_whose_clock_is_off_makes_the_same_due_times",
    "E25": "integration/test_namespace_faults.py::test_deliveries_survive_the_loss_of_three_packets_in_ten",
}


@dataclass(frozen=True)
class Attempt:
    """One attempt, and how long it took by the test's own clock."""

    result: AttemptResult
    took_s: float


@pytest.fixture(scope="module")
def executor() -> Iterator[WebhookExecutor]:
    made = WebhookExecutor(EgressPolicy(allow=["127.0.0.0/8"], allow_http_loopback=True), ca_bundle=authority_pem())
    yield made
    made.close()


def attempt(
    executor: WebhookExecutor, url: str, *, timeout_ms: int = TIMEOUT_MS, payload: bytes = b"{}"
) -> AttemptResult:
    """Make one attempt."""
    return executor.post(Claim(a_delivery(), a_webhook(url=url, timeout_ms=timeout_ms), payload))


@pytest.fixture(scope="module")
def attempts(executor: WebhookExecutor) -> dict[str, Attempt]:
    """Offer one attempt at each address of the server, all made side by side: those that hang cost their time once."""

    def timed(url: str, timeout_ms: int) -> Attempt:
        started = time.monotonic()
        result = attempt(executor, url, timeout_ms=timeout_ms)
        return Attempt(result, time.monotonic() - started)

    with HostileServer() as server:
        asked = {
            f"{scheme} {name}": (server.url(name, scheme=scheme), limit_ms(case))
            for name, case in CASES.items()
            for scheme in ("https", "http")
            if case.speaks(scheme)
        }
        asked |= {
            f"listener {name}": (server.listener(name), limit_ms(listener))
            for name, listener in FAULTY_LISTENERS.items()
        }
        # What computes comes first, so that it takes nothing of the time of what waits.
        made: dict[str, Attempt] = {}
        for at_once, waits in ((AT_WORK, False), (WAITING, True)):
            part = {name: given for name, given in asked.items() if (given[1] < PLENTY_MS) == waits}
            with ThreadPoolExecutor(at_once) as threads:
                made |= dict(zip(part, threads.map(timed, *zip(*part.values(), strict=True)), strict=True))
        return made


def limit_ms(tried: HostileCase | FaultyListener) -> int:
    """Return an attempt's time limit: short only where whatever takes long comes to the same."""
    if not tried.is_drawn_out:
        return PLENTY_MS
    return TIMEOUT_MS if ErrorKind.TIMEOUT in tried.kinds else HEADED_MS


@pytest.mark.parametrize(
    ("scheme", "name"),
    [(scheme, name) for name, case in CASES.items() for scheme in ("https", "http") if case.speaks(scheme)],
)
def test_a_hostile_answer_ends_in_time_and_is_named(scheme: str, name: str, attempts: dict[str, Attempt]) -> None:
    """Each behaviour has its outcome, over http and https alike, within the deadline, and never a traceback."""
    case, made = CASES[name], attempts[f"{scheme} {name}"]
    result, took_s = made.result, made.took_s
    assert (result.status_code, result.error_kind, result.error_message) in case.outcomes
    assert result.succeeded == (result.error_kind is None)
    assert took_s < AT_MOST_S
    assert result.duration_ms <= took_s * 1000 + 1
    assert len((result.response_body or "").encode()) <= 4096
    if case.body is not None:
        assert result.response_body == case.body


@pytest.mark.parametrize("name", FAULTY_LISTENERS)
def test_a_hostile_listener_ends_in_time_and_is_named(name: str, attempts: dict[str, Attempt]) -> None:
    """TLS that is none, or that never ends, fails within the deadline, and is never fallen back from."""
    listener, made = FAULTY_LISTENERS[name], attempts[f"listener {name}"]
    assert made.result.error_kind in listener.kinds
    assert made.took_s < AT_MOST_S
    if made.result.error_kind is ErrorKind.TLS:
        assert listener.words in (made.result.error_message or "")


@pytest.mark.parametrize("name", [name for name in CASES if fault_of(name) == "E18"])
def test_a_wish_to_wait_is_bounded(name: str, attempts: dict[str, Attempt]) -> None:
    """What an answer asks for is on the value, and the next attempt comes after a day at the latest."""
    asked, result = CASES[name].wait_s, attempts[f"https {name}"].result
    assert (result.retry_after is None) == (asked is None)
    if result.retry_after is not None and asked is not None:
        assert asked[0] <= result.retry_after.total_seconds() <= asked[1]
    delivery = a_delivery().claimed(lease_until=NOON)
    _, wait = delivery.attempted(result, max_retries=3, policy=EXACT, draw=0.5)
    assert (wait is None) == result.succeeded
    if wait is not None:
        assert max(EXACT.base, min(result.retry_after or timedelta(0), RETRY_AFTER_CAP)) == wait <= RETRY_AFTER_CAP


def test_every_fault_of_an_endpoint_is_tried() -> None:
    """Each id of the list is a behaviour here or a test elsewhere."""
    for name, where in ELSEWHERE.items():
        file, _, test = where.partition("::")
        assert f"def {test}(" in (Path(__file__).parents[1] / file).read_text(), name
    covered = {fault_of(name) for name in (*CASES, *FAULTY_LISTENERS)} | set(ELSEWHERE)
    assert covered == {f"E{number}" for number in range(1, 26)}


def test_an_answer_that_takes_its_time_is_kept_as_far_as_it_came(executor: WebhookExecutor) -> None:
    """The deadline ends the reading of a body, and what had come is on record."""
    with Receiver() as receiver:
        receiver.script("/", trickles(b"why", after=b"HTTP/1.1 500 Oops\r\nContent-Length: 999\r\n\r\nwhyw"))
        result = attempt(executor, receiver.url(), timeout_ms=3_000)
    assert (result.response_body or "").startswith("whyw")
    assert result.duration_ms >= 3_000


def test_a_receiver_that_never_reads_is_given_up_in_mid_request(executor: WebhookExecutor) -> None:
    """A body beyond what the sockets buffer can't be sent, and that is a timeout too."""
    with Receiver(greeting=never_reads) as receiver:
        result = attempt(executor, receiver.url(), timeout_ms=600, payload=b"x" * 30_000_000)
    assert (result.error_kind, result.error_message) == (ErrorKind.TIMEOUT, "Request timed out")


def test_a_flood_of_interim_answers_costs_little_computing_time(executor: WebhookExecutor) -> None:
    """It is waited out, not worked off: a fraction of what one core could do meanwhile."""
    with Receiver() as receiver:
        receiver.script("/", floods(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000))
        began = time.thread_time()
        result = attempt(executor, receiver.url(), timeout_ms=1_000)
        worked_s = time.thread_time() - began
    assert result.error_kind is ErrorKind.TIMEOUT
    assert worked_s * 1000 < result.duration_ms / 4


def test_no_failed_handshake_is_followed_by_a_request(executor: WebhookExecutor) -> None:
    """Where the certificate isn't good, nothing of the request is sent, encrypted or not."""
    for name, listener in FAULTY_LISTENERS.items():
        if listener.kinds == (ErrorKind.TLS,) and "certificate" in listener.words + name and "wants" not in name:
            with listener.receiver() as receiver:
                attempt(executor, f"https://localhost:{receiver.port}/", timeout_ms=PLENTY_MS)
                assert receiver.connections == 1
                assert receiver.requests == []


def test_nobody_listening_is_a_refused_connection(executor: WebhookExecutor) -> None:
    """A closed port fails at once, and says so without an address."""
    with closed_port() as port:
        result = attempt(executor, f"http://127.0.0.1:{port}/", timeout_ms=PLENTY_MS)
    assert (result.error_kind, result.error_message) == (ErrorKind.CONNECT, "Connection refused")


def test_no_message_holds_what_the_receiver_said(attempts: dict[str, Attempt]) -> None:
    """Messages are of a small fixed set of words: what a receiver wants to be read goes into the body, or nowhere."""
    plain = re.compile(r"[A-Za-z0-9 :,.'/()-]*")
    for name, made in attempts.items():
        message = made.result.error_message or ""
        assert plain.fullmatch(message), name
        assert "script" not in message, name
