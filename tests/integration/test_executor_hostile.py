"""Whatever a receiver does, an attempt ends in time, as a value that says what happened."""

from __future__ import annotations

import gzip
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import trustme

from noteflow_hooks.domain.deliveries import Claim, ErrorKind
from noteflow_hooks.egress import EgressPolicy
from noteflow_hooks.executor import WebhookExecutor
from tests.builders import a_delivery, a_webhook
from tests.certificates import authority_pem
from tests.hostile import (
    EMPTY_OK,
    OK,
    closes,
    floods,
    never_answers,
    never_reads,
    resets,
    resets_after_head,
    says,
    says_and_waits,
    trickles,
    trickles_a_record,
)
from tests.receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import Iterator

    from noteflow_hooks.domain.deliveries import AttemptResult
    from tests.line import Behaviour

TIMEOUT_MS = 600
#: Generous: the machine may be busy. Plain requests would need the receiver's own time, which is without end.
AT_MOST_S = 10
#: A body of 100 MB in 100 KB.
BOMB = gzip.compress(bytes(10_000_000)) * 10

TIMED_OUT = "Request timed out"
INVALID = "Invalid HTTP response: "
LOST = "Connection closed without a response"


@dataclass(frozen=True)
class Case:
    """A behaviour, and what must come of it."""

    behaviour: Behaviour
    kind: ErrorKind | None
    message: str | None
    status: int | None = None


def delivered(behaviour: Behaviour, status: int = 200) -> Case:
    return Case(behaviour, None, None, status)


def timeout(behaviour: Behaviour) -> Case:
    return Case(behaviour, ErrorKind.TIMEOUT, TIMED_OUT)


def malformed(behaviour: Behaviour, problem: str) -> Case:
    return Case(behaviour, ErrorKind.PROTOCOL, INVALID + problem)


def refused(behaviour: Behaviour, status: int, kind: ErrorKind = ErrorKind.STATUS) -> Case:
    return Case(behaviour, kind, f"HTTP {status}", status)


def redirect(location: bytes) -> bytes:
    return b"HTTP/1.1 302 Found\r\nLocation: " + location + b"\r\n"


CASES = {
    # E1, E2, E4, E17: silence and trickles before the head's end
    "never answers": timeout(never_answers),
    "trickles a head": timeout(trickles(b"X-Slow: 1\r\n", after=OK)),
    "trickles a status line": timeout(trickles(b"HTTP/1.1 200 OK")),
    "ends the head with silence": timeout(says_and_waits(OK + b"Content-Length: 0\r\n")),
    "says 100 Continue for ever": timeout(trickles(b"HTTP/1.1 100 Continue\r\n\r\n")),
    "floods with 100 Continue": timeout(floods(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)),
    # E3, E5, E6, E15: the head has decided
    "trickles chunks": delivered(trickles(b"1\r\nx\r\n", after=OK + b"Transfer-Encoding: chunked\r\n\r\n")),
    "trickles a body": delivered(trickles(b"x", after=OK + b"Content-Length: 1000\r\n\r\n")),
    "never ends its body": delivered(floods(b"x" * 65_536, after=OK + b"\r\n")),
    "never ends its chunks": delivered(
        floods(b"1000\r\n" + b"x" * 4096 + b"\r\n", after=OK + b"Transfer-Encoding: chunked\r\n\r\n")
    ),
    "never ends a chunk's extension": delivered(floods(b"1;x" * 999, after=OK + b"Transfer-Encoding: chunked\r\n\r\n")),
    "never ends its trailers": delivered(floods(b"X-T: 1\r\n", after=OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n")),
    "sends a bomb": delivered(says(OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB), BOMB)),
    "sends a short body": delivered(says(OK + b"Content-Length: 100\r\n\r\nshort")),
    "sends a bad chunk": delivered(says(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nx")),
    "sends a negative chunk": delivered(says(OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nx\r\n0\r\n\r\n")),
    "sends two lengths": delivered(says_and_waits(OK + b"Content-Length: 5\r\nContent-Length: 7\r\n\r\nhello")),
    "sends a length that is none": delivered(says_and_waits(OK + b"Content-Length: +5\r\n\r\nhello")),
    "sends a line that is no header": delivered(says(OK + b"nonsense\r\nContent-Length: 0\r\n\r\n")),
    "sends a charset without a name": delivered(
        says(OK + b"Content-Type: text/html; charset\r\nSet-Cookie: \xff=;;=\r\nContent-Length: 0\r\n\r\n")
    ),
    "resets within the body": delivered(resets_after_head),
    "fails, and trickles why": refused(trickles(b"x", after=b"HTTP/1.1 500 Oops\r\nContent-Length: 1000\r\n\r\n"), 500),
    # E7, E8, E9: redirects
    "redirects with a bomb": refused(
        says(redirect(b"/elsewhere") + b"Content-Encoding: gzip\r\n\r\n", BOMB), 302, ErrorKind.REDIRECT
    ),
    "redirects without end": refused(
        floods(b"x" * 65_536, after=redirect(b"/elsewhere") + b"\r\n"), 302, ErrorKind.REDIRECT
    ),
    "redirects to nonsense": refused(says(redirect(b"http://[::1") + b"\r\n"), 302, ErrorKind.REDIRECT),
    "redirects to the metadata": refused(says(redirect(b"http://169.254.169.254/") + b"\r\n"), 302, ErrorKind.REDIRECT),
    "is not modified": refused(says(b"HTTP/1.1 304 Not Modified\r\n\r\n"), 304, ErrorKind.REDIRECT),
    # E10, E11, E12: interim answers, and bodies where none may be
    "says 103 first": delivered(says(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + EMPTY_OK)),
    "says 102 and 100 first": delivered(
        says(b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n", EMPTY_OK)
    ),
    "switches protocols": refused(says_and_waits(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"), 101),
    "has a body where none may be": delivered(says(b"HTTP/1.1 204 No Content\r\n\r\nbody"), 204),
    # E13: heads without measure
    "sends a long header": malformed(says(OK + b"X: " + b"x" * 70_000 + b"\r\n\r\n"), "head too large"),
    "sends many headers": malformed(says(OK + b"X: 1\r\n" * 300 + b"\r\n"), "too many headers"),
    "sends large headers": malformed(says(OK, *([b"X: " + b"x" * 60_000 + b"\r\n"] * 90), b"\r\n"), "head too large"),
    "never ends its head": malformed(floods(b"x" * 65_536, after=OK), "head too large"),
    # What is not HTTP at all (E14)
    "talks nonsense": malformed(says_and_waits(b"\x00\xff nonsense\r\n"), "no status line"),
    "speaks SSH": malformed(says_and_waits(b"SSH-2.0-OpenSSH_9.2\r\n"), "no status line"),
    "speaks HTTP/0.9": malformed(says(b"<html>hello</html>"), "head broken off"),
    "sends a status of two digits": malformed(says(b"HTTP/1.1 20 OK\r\n\r\n"), "no status line"),
    "sends a status below 100": malformed(says(b"HTTP/1.1 099 Low\r\n\r\n"), "no status line"),
    "sends a status of 999": refused(says(b"HTTP/1.1 999 High\r\n\r\n"), 999),
    "sends a status of 600": refused(says(b"HTTP/1.1 600 High\r\nContent-Length: 0\r\n\r\n"), 600),
    "speaks another version": malformed(says(b"HTTP/3 200 OK\r\n\r\n"), "no status line"),
    # E16: gone after the request
    "closes": Case(closes, ErrorKind.CONNECT, LOST),
    "closes within the status line": malformed(says(b"HTTP/1.1 2"), "head broken off"),
    "closes within the head": malformed(says(OK + b"Content-Le"), "head broken off"),
    "closes before the head's last line": malformed(says(OK + b"X: 1\r\n"), "head broken off"),
}


@pytest.fixture(scope="module", params=["http", "https"])
def receiver(request: pytest.FixtureRequest) -> Iterator[Receiver]:
    with Receiver(tls=request.param == "https") as running:
        yield running


@pytest.fixture(scope="module")
def executor() -> Iterator[WebhookExecutor]:
    policy = EgressPolicy(allow=["127.0.0.0/8"], allow_http_loopback=True)
    made = WebhookExecutor(policy, ca_bundle=authority_pem())
    yield made
    made.close()


def attempt(executor: WebhookExecutor, url: str, *, timeout_ms: int = TIMEOUT_MS) -> AttemptResult:
    """Make one attempt, and fail if it took far too long or says other things about it."""
    started = time.monotonic()
    result = executor.post(Claim(a_delivery(), a_webhook(url=url, timeout_ms=timeout_ms), b"{}"))
    took = time.monotonic() - started
    assert took < AT_MOST_S
    assert result.duration_ms <= took * 1000 + 1
    return result


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_hostile_answer_ends_in_time_and_is_named(case: Case, receiver: Receiver, executor: WebhookExecutor) -> None:
    """Each behaviour has its one outcome, over http and https alike, within the deadline, and never a traceback."""
    receiver.script("/hooks", case.behaviour)
    result = attempt(executor, receiver.url("/hooks"))
    assert (result.error_kind, result.error_message) == (case.kind, case.message)
    assert result.status_code == case.status
    assert result.succeeded == (case.kind is None)
    assert len((result.response_body or "").encode()) <= 4096


def test_a_reset_instead_of_an_answer_is_a_lost_connection(receiver: Receiver, executor: WebhookExecutor) -> None:
    """An RST after the request is a failed attempt; over TLS it may be seen as the end of the stream."""
    receiver.script("/hooks", resets)
    result = attempt(executor, receiver.url("/hooks"))
    assert result.error_kind is ErrorKind.CONNECT
    assert result.error_message in ("Connection reset by peer", LOST)


def test_an_answer_that_takes_its_time_is_kept_as_far_as_it_came(receiver: Receiver, executor: WebhookExecutor) -> None:
    """The deadline ends the reading of a body, and what had come is on record."""
    receiver.script("/hooks", trickles(b"why", after=b"HTTP/1.1 500 Oops\r\nContent-Length: 999\r\n\r\n"))
    result = attempt(executor, receiver.url("/hooks"))
    assert (result.response_body or "").startswith("whyw")
    assert result.duration_ms >= TIMEOUT_MS


@pytest.mark.parametrize(
    "greeting",
    [never_answers, never_reads, trickles(b"\x16\x03\x03\x40\x00"), trickles(b"\x00")],
    ids=["silent", "unread", "trickled", "trickled nonsense"],
)
def test_a_handshake_that_never_ends_is_a_timeout_or_no_tls(greeting: Behaviour, executor: WebhookExecutor) -> None:
    """The deadline covers the TLS handshake too, however it is drawn out."""
    with Receiver(greeting=greeting) as receiver:
        result = attempt(executor, f"https://localhost:{receiver.port}/")
    assert result.error_kind in (ErrorKind.TIMEOUT, ErrorKind.TLS)
    assert result.succeeded is False


def test_a_trickled_tls_record_is_a_timeout(executor: WebhookExecutor) -> None:
    """An answer of which no byte can be decrypted before the deadline is late, though bytes came all the time."""
    with Receiver(greeting=trickles_a_record) as receiver:
        result = attempt(executor, f"https://localhost:{receiver.port}/")
    assert (result.error_kind, result.error_message) == (ErrorKind.TIMEOUT, TIMED_OUT)


@pytest.mark.parametrize(
    ("greeting", "problem"),
    [
        (says_and_waits(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "wrong version number"),
        (closes, "unexpected eof while reading"),
    ],
    ids=["plaintext", "closed"],
)
def test_what_speaks_no_tls_is_a_tls_error(greeting: Behaviour, problem: str, executor: WebhookExecutor) -> None:
    """Plain text on a TLS port fails, and is never fallen back to."""
    with Receiver(greeting=greeting) as receiver:
        result = attempt(executor, f"https://localhost:{receiver.port}/")
    assert result.error_kind in (ErrorKind.TLS, ErrorKind.CONNECT)
    if result.error_kind is ErrorKind.TLS:
        assert result.error_message == f"TLS error: {problem}"


def test_a_certificate_of_an_unknown_authority_is_refused(executor: WebhookExecutor) -> None:
    """Nobody but the system and CA_BUNDLE is trusted."""
    with Receiver(tls=True, ca=trustme.CA()) as receiver:
        result = attempt(executor, receiver.url())
    assert result.error_kind is ErrorKind.TLS
    assert "certificate" in (result.error_message or "")
    assert receiver.requests == []


def test_a_certificate_for_another_name_is_refused(executor: WebhookExecutor) -> None:
    """The certificate must be for the URL's host."""
    with Receiver(tls=True, names=("other.example",)) as receiver:
        result = attempt(executor, receiver.url(host="localhost"))
    assert result.error_kind is ErrorKind.TLS
    assert "Hostname mismatch" in (result.error_message or "")
    assert receiver.requests == []


def test_tls_below_1_2_is_refused(executor: WebhookExecutor) -> None:
    """The lowest version that is spoken is 1.2."""
    with Receiver(tls=True, tls_version=ssl.TLSVersion.TLSv1_1) as receiver:
        result = attempt(executor, receiver.url())
    assert result.error_kind is ErrorKind.TLS


def test_nobody_listening_is_a_refused_connection(executor: WebhookExecutor) -> None:
    """A closed port fails at once, and says so without an address."""
    with Receiver() as receiver:
        url = receiver.url()
    result = attempt(executor, url)
    assert (result.error_kind, result.error_message) == (ErrorKind.CONNECT, "Connection refused")
