"""All https through the operator's proxy: asked by name, within the one deadline, and believed about nothing else."""

from __future__ import annotations

import base64
import logging
import threading
from typing import TYPE_CHECKING

import pytest

from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.deliveries import Claim
from noteflow_hooks.egress import EgressPolicy
from noteflow_hooks.egress.proxy import parse_proxy
from noteflow_hooks.executor import WebhookExecutor
from tests.support.builders import a_delivery, a_webhook
from tests.support.certificates import authority_pem
from tests.support.connect_proxy import ConnectProxy
from tests.support.hostile_receiver import closes, floods, never_answers, says, says_and_waits, trickles
from tests.support.receiver import Receiver, closed_port
from tests.support.receiver_connection import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from noteflow_hooks.domain.deliveries import AttemptResult
    from tests.support.receiver_connection import Behaviour

NAME = "receiver.example"
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver(tls=True, names=(NAME,)) as running:
        yield running


@pytest.fixture
def proxy() -> Iterator[ConnectProxy]:
    with ConnectProxy() as running:
        yield running


def no_lookup(host: str) -> Sequence[str]:
    raise AssertionError(host)


def an_executor(proxy_url: str, lookup: Callable[[str], Sequence[str]] = no_lookup) -> WebhookExecutor:
    egress = EgressPolicy(proxy=parse_proxy(proxy_url), allow_http_loopback=True, lookup=lookup)
    return WebhookExecutor(egress, ca_bundle=authority_pem())


def post(
    proxy_url: str, url: str, *, timeout_ms: int = 60_000, lookup: Callable[[str], Sequence[str]] = no_lookup
) -> AttemptResult:
    """Post once through that proxy."""
    executor = an_executor(proxy_url, lookup)
    result = executor.post(Claim(a_delivery(), a_webhook(url=url, timeout_ms=timeout_ms), b"{}"))
    executor.close()
    return result


def test_the_proxy_is_given_the_name_and_nothing_of_the_request(proxy: ConnectProxy, receiver: Receiver) -> None:
    """Nothing is looked up here. Path, query and headers travel inside TLS, to a certificate that is for the name."""
    assert post(proxy.url(), receiver.url("/hooks?key=1", host=NAME)).succeeded
    [asked] = proxy.asked
    assert (asked.method, asked.target) == ("CONNECT", f"{NAME}:{receiver.port}")
    assert asked.headers == (("Host", f"{NAME}:{receiver.port}"),)
    [request] = receiver.requests
    assert (request.target, request.header("Host")) == ("/hooks?key=1", f"{NAME}:{receiver.port}")
    assert request.header("Proxy-Authorization") is None


def test_a_tunnel_is_kept_for_its_webhook_alone(proxy: ConnectProxy, receiver: Receiver) -> None:
    """Two posts of one webhook take one CONNECT; another webhook's takes its own."""
    executor = an_executor(proxy.url())
    first, second = (a_webhook(url=receiver.url(host=NAME)) for _ in range(2))
    for webhook in (first, first, second, first):
        assert executor.post(Claim(a_delivery(), webhook, b"{}")).succeeded
    executor.close()
    assert [request.connection for request in receiver.requests] == [1, 1, 2, 1]
    assert len(proxy.asked) == 2


def test_a_tunnel_that_has_ended_is_made_anew_once(proxy: ConnectProxy, receiver: Receiver) -> None:
    """As any kept connection is: the proxy is asked a second time, for the same attempt."""
    receiver.script("/", Answer(), closes, Answer())
    executor = an_executor(proxy.url())
    webhook = a_webhook(url=receiver.url(host=NAME), timeout_ms=60_000)
    results = [executor.post(Claim(a_delivery(), webhook, b"{}")) for _ in range(2)]
    executor.close()
    assert [(each.error_kind, each.redialled) for each in results] == [(None, False), (None, True)]
    assert (len(proxy.asked), len(receiver.requests)) == (2, 3)


def test_the_urls_user_is_told_to_the_proxy_and_never_logged(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """Name and password are unescaped, and go along with CONNECT alone."""
    caplog.set_level(logging.DEBUG)
    expected = "Basic " + base64.b64encode(b"ada:pass@canary").decode()
    with ConnectProxy(authorization=expected) as proxy:
        assert post(proxy.url(user="ada:pass%40canary"), receiver.url(host=NAME)).succeeded
        refused = post(proxy.url(user="ada:wrong-canary"), receiver.url(host=NAME))
    assert (refused.error_kind, refused.error_message) == (
        ErrorKind.CONNECT,
        "Refused by the egress proxy (HTTP 407)",
    )
    assert "canary" not in caplog.text
    assert expected not in caplog.text


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        (403, ErrorKind.ADDRESS_NOT_ALLOWED, "address not allowed"),
        (407, ErrorKind.CONNECT, "Refused by the egress proxy (HTTP 407)"),
        (502, ErrorKind.CONNECT, "Refused by the egress proxy (HTTP 502)"),
        (503, ErrorKind.CONNECT, "Refused by the egress proxy (HTTP 503)"),
        (302, ErrorKind.CONNECT, "Refused by the egress proxy (HTTP 302)"),
        (101, ErrorKind.CONNECT, "Refused by the egress proxy (HTTP 101)"),
    ],
)
def test_a_proxys_refusal_is_no_answer_of_the_endpoints(status: int, kind: ErrorKind, message: str) -> None:
    """Neither its status nor its page goes on record as if the endpoint had sent it."""
    page = b"HTTP/1.1 %d No\r\nLocation: https://elsewhere.example/\r\nContent-Length: 4\r\n\r\npage" % status
    with ConnectProxy(behaviour=says_and_waits(page)) as proxy:
        result = post(proxy.url(), f"https://{NAME}/")
    assert (result.error_kind, result.error_message) == (kind, message)
    assert (result.status_code, result.response_body, result.retry_after) == (None, None, None)


@pytest.mark.parametrize(
    ("behaviour", "kind", "message"),
    [
        (never_answers, ErrorKind.TIMEOUT, "Request timed out"),
        (trickles(b"X-Slow: 1\r\n", after=b"HTTP/1.1 200 OK\r\n"), ErrorKind.TIMEOUT, "Request timed out"),
        (trickles(b"HTTP/1.1 100 Continue\r\n\r\n"), ErrorKind.TIMEOUT, "Request timed out"),
        (says_and_waits(ESTABLISHED), ErrorKind.TIMEOUT, "Request timed out"),
        (
            floods(b"X" * 4096, after=b"HTTP/1.1 200 OK\r\n"),
            ErrorKind.CONNECT,
            "Egress proxy: Invalid HTTP response: head too large",
        ),
        (
            floods(b"A: b\r\n", after=b"HTTP/1.1 200 OK\r\n"),
            ErrorKind.CONNECT,
            "Egress proxy: Invalid HTTP response: too many headers",
        ),
        (
            says(b"SSH-2.0-OpenSSH_9.6\r\n"),
            ErrorKind.CONNECT,
            "Egress proxy: Invalid HTTP response: no status line",
        ),
        (
            says(b"HTTP/1.1 200 OK\r\nVia: x\r\n"),
            ErrorKind.CONNECT,
            "Egress proxy: Invalid HTTP response: head broken off",
        ),
        (closes, ErrorKind.CONNECT, "Egress proxy: Connection closed without a response"),
    ],
    ids=[
        "silent",
        "trickled head",
        "endless interims",
        "silent tunnel",
        "endless line",
        "endless headers",
        "not HTTP",
        "half a head",
        "closes",
    ],
)
def test_a_hostile_proxy_costs_the_timeout_and_no_more(behaviour: Behaviour, kind: ErrorKind, message: str) -> None:
    """Whatever it says or doesn't say, the attempt fails in time, and the message says that it was the proxy."""
    with ConnectProxy(behaviour=behaviour) as proxy:
        result = post(proxy.url(), f"https://{NAME}/", timeout_ms=400 if kind is ErrorKind.TIMEOUT else 60_000)
    assert (result.error_kind, result.error_message) == (kind, message)
    assert result.duration_ms < 40_000


def test_a_tunnel_that_leads_elsewhere_gets_no_request(proxy: ConnectProxy) -> None:
    """TLS is with the original name, so a proxy can't lead a payload to another server."""
    with Receiver(tls=True, names=("other.example",)) as elsewhere:
        result = post(proxy.url(), elsewhere.url(host=NAME))
        assert result.error_kind is ErrorKind.TLS
        assert "certificate is not valid for" in (result.error_message or "")
        assert (len(proxy.asked), elsewhere.requests) == (1, [])


@pytest.mark.parametrize("early", [ESTABLISHED + b"HTTP/1.1 200 OK\r\n\r\n", ESTABLISHED])
def test_a_proxy_cannot_answer_for_the_endpoint(early: bytes) -> None:
    """What comes through the tunnel and is not TLS is no success, whenever it comes."""
    with ConnectProxy(behaviour=says(early, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as proxy:
        result = post(proxy.url(), f"https://{NAME}/")
    # It closes with our side of the handshake unread, which may reset the connection before its words are read.
    assert (result.error_kind in {ErrorKind.TLS, ErrorKind.CONNECT}, result.status_code) == (True, None)


def test_a_proxy_that_is_down_is_named_as_the_fault() -> None:
    """A refused connection is the proxy's, and says so."""
    with closed_port() as port:
        result = post(f"http://127.0.0.1:{port}", f"https://{NAME}/")
    assert (result.error_kind, result.error_message) == (ErrorKind.CONNECT, "Egress proxy: Connection refused")


def test_the_proxys_own_name_is_looked_up_and_its_address_not_judged(proxy: ConnectProxy, receiver: Receiver) -> None:
    """The operator named it: loopback is no more forbidden to it than any other address, and the next one is tried."""
    names: list[str] = []

    def lookup(host: str) -> Sequence[str]:
        names.append(host)
        return ["127.0.0.2", "127.0.0.1"]

    assert post(proxy.url(host="proxy.internal"), receiver.url(host=NAME), lookup=lookup).succeeded
    assert names == ["proxy.internal"]


@pytest.mark.parametrize(
    ("answer", "problem"), [(OSError(), "Host name look-up failed"), ([], "Host name has no address")]
)
def test_a_proxy_without_an_address_is_named_as_the_fault(answer: OSError | list[str], problem: str) -> None:
    """It is no DNS failure of the endpoint's."""

    def lookup(_host: str) -> Sequence[str]:
        if isinstance(answer, OSError):
            raise answer
        return answer

    result = post("http://proxy.internal:3128", f"https://{NAME}/", lookup=lookup)
    assert (result.error_kind, result.error_message) == (ErrorKind.CONNECT, f"Egress proxy: {problem}")


def test_a_silent_name_server_for_the_proxy_costs_the_timeout() -> None:
    """The proxy's look-up is under the same deadline as everything else."""
    answers = threading.Event()

    def silent(_host: str) -> Sequence[str]:
        answers.wait(120)
        return []

    result = post("http://proxy.internal:3128", f"https://{NAME}/", lookup=silent, timeout_ms=300)
    answers.set()
    assert (result.error_kind, result.error_message) == (ErrorKind.CONNECT, "Egress proxy: Host name look-up timed out")
    assert result.duration_ms < 40_000


@pytest.mark.parametrize(
    "url",
    [
        "https://10.0.0.1/",
        "https://127.0.0.1/",
        "https://169.254.169.254/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://localhost/",
        "https://db.localhost./",
        f"https://{NAME}:6379/",
        f"https://{NAME}:22/",
    ],
)
def test_what_needs_no_look_up_is_checked_before_the_proxy_is_asked(proxy: ConnectProxy, url: str) -> None:
    """Literal addresses, loopback's names and ports are judged here as without a proxy."""
    assert post(proxy.url(), url).error_kind is ErrorKind.ADDRESS_NOT_ALLOWED
    assert proxy.connections == 0


@pytest.mark.parametrize(
    ("url", "target"),
    [
        (f"https://{NAME}./", f"{NAME}:443"),
        ("https://1.1.1.1:8443/", "1.1.1.1:8443"),
        ("https://[2606:4700::1]/", "[2606:4700::1]:443"),
        ("https://bücher.example/", "xn--bcher-kva.example:443"),
    ],
)
def test_the_proxy_is_asked_for_one_plain_form_of_the_host(url: str, target: str) -> None:
    """No root's dot and no letters beyond ASCII, which would lead a name past the proxy's own lists."""
    with ConnectProxy(behaviour=says(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")) as proxy:
        post(proxy.url(), url)
    assert [asked.target for asked in proxy.asked] == [target]


def test_plain_http_to_loopback_goes_past_the_proxy(proxy: ConnectProxy) -> None:
    """Development's receiver is on this machine, where the proxy may not reach it."""
    with Receiver() as plain:
        assert post(proxy.url(), plain.url()).succeeded
        assert len(plain.requests) == 1
    assert proxy.connections == 0


def test_the_environment_changes_nothing_about_the_proxy(
    proxy: ConnectProxy, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another proxy there, or an exception from all proxies, has no effect."""
    with ConnectProxy() as other:
        for name in ("HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, other.url())
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.setenv(name, "*")
        assert post(proxy.url(), receiver.url(host=NAME)).succeeded
    assert (other.connections, len(proxy.asked)) == (0, 1)
