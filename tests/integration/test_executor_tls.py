"""What a server may choose in a TLS handshake, and whose certificates are taken."""

from __future__ import annotations

import ssl
import warnings
from typing import TYPE_CHECKING, Final

import pytest

from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.deliveries import Claim
from noteflow_hooks.egress import EgressPolicy
from noteflow_hooks.executor import WebhookExecutor
from noteflow_hooks.executor.http.trust import tls_context
from tests.support.builders import a_delivery, a_webhook
from tests.support.certificates import authority, authority_pem, common_name_context, dhe_context
from tests.support.receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from noteflow_hooks.domain.deliveries import AttemptResult
    from tests.support.receiver_connection import ReceiverConnection

#: TLS 1.3 names no exchange of keys in its suites; that a handshake isn't renegotiated is said as a suite, too.
_ANY, _SIGNAL = "kx-any", 0x00FF
_HELLO_HEAD: Final = 5 + 4 + 2 + 32


@pytest.fixture
def executor() -> Iterator[WebhookExecutor]:
    made = WebhookExecutor(EgressPolicy(allow=["127.0.0.0/8"]), ca_bundle=authority_pem())
    yield made
    made.close()


def post(executor: WebhookExecutor, receiver: Receiver) -> AttemptResult:
    url = f"https://localhost:{receiver.port}/"
    return executor.post(Claim(a_delivery(), a_webhook(url=url, timeout_ms=60_000), b"{}"))


def offered(hello: bytes) -> list[int]:
    """Return the cipher suites of a ClientHello, record and all (RFC 8446, 4.1.2)."""
    rest = hello[_HELLO_HEAD:]
    rest = rest[1 + rest[0] :]
    length = int.from_bytes(rest[:2])
    return [int.from_bytes(rest[place : place + 2]) for place in range(2, 2 + length, 2)]


def exchanges() -> dict[int, str]:
    """Return how each suite that OpenSSL knows exchanges keys."""
    everything = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    everything.set_ciphers("ALL:@SECLEVEL=0")
    return {each["id"] & 0xFFFF: each["kea"] for each in everything.get_ciphers()}


def test_no_suite_is_offered_in_which_the_server_chooses_the_prime(executor: WebhookExecutor) -> None:
    """Every suite of TLS 1.2 is one of ECDHE, as the bytes of our own ClientHello have it."""
    hellos: list[bytes] = []

    def refuse(connection: ReceiverConnection) -> None:
        hellos.append(connection.sock.recv(65_536))
        connection.send(b"\x15\x03\x03\x00\x02\x02\x28")

    with Receiver(greeting=refuse) as receiver:
        assert post(executor, receiver).error_kind is ErrorKind.TLS
    known = exchanges()
    suites = set(offered(hellos[0])) - {_SIGNAL}
    assert {known[each] for each in suites} == {_ANY, "kx-ecdhe"}
    assert len(suites) > len([each for each in suites if known[each] == _ANY]) > 0


def test_a_prime_of_10_000_bits_is_refused_before_it_is_computed_with(
    executor: WebhookExecutor, tmp_path: Path
) -> None:
    """The server finds no suite in common with us, and what it would have sent never comes."""
    refusals: list[str] = []
    context = dhe_context(tmp_path, bits=10_000)

    def serve(connection: ReceiverConnection) -> None:
        try:
            connection.secure(context)
        except ssl.SSLError as error:
            refusals.append(error.reason)
        else:
            connection.read_request()

    with Receiver(greeting=serve) as receiver:
        result = post(executor, receiver)
    assert (result.error_kind, result.error_message) == (ErrorKind.TLS, "TLS error: sslv3 alert handshake failure")
    assert refusals == ["NO_SHARED_CIPHER"]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_servers_of_either_version_are_spoken_to(executor: WebhookExecutor, version: ssl.TLSVersion) -> None:
    """With the suites that are left."""
    with Receiver(tls=True, tls_version=version) as receiver:
        assert post(executor, receiver).succeeded


def test_more_certificates_than_100_kb_are_refused_unread(executor: WebhookExecutor) -> None:
    """However many names stand in them, or however long their chain is: the bound on what they cost to check."""
    names = (f"name-{number}.example.com" for number in range(6_000))
    with Receiver(tls=True, names=("localhost", *names)) as receiver:
        result = post(executor, receiver)
    assert (result.error_kind, result.error_message) == (ErrorKind.TLS, "TLS error: excessive message size")


def test_a_certificate_by_common_name_alone_is_refused(executor: WebhookExecutor) -> None:
    """RFC 9525, 6.3: a name counts among the alternative names, wherever else it may stand."""
    with Receiver(context=common_name_context(authority(), "localhost")) as receiver:
        result = post(executor, receiver)
    assert result.error_kind is ErrorKind.TLS
    assert result.error_message == ("TLS error: Hostname mismatch, certificate is not valid for 'localhost'.")


def test_a_server_that_refuses_our_protocol_is_named_in_openssls_words(executor: WebhookExecutor) -> None:
    """One that speaks HTTP/2 alone answers with an alert for which Python has no name."""

    def refuse(connection: ReceiverConnection) -> None:
        connection.sock.recv(65_536)
        connection.send(b"\x15\x03\x03\x00\x02\x02\x78")

    with Receiver(greeting=refuse) as receiver:
        result = post(executor, receiver)
    assert (result.error_kind, result.error_message) == (
        ErrorKind.TLS,
        "TLS error: tlsv1 alert no application protocol",
    )


def test_the_context_has_the_platforms_level_of_security() -> None:
    """Fewer suites, and none that were not there before."""
    with warnings.catch_warnings(action="error"):
        before = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ours, theirs = tls_context(None), before
    assert ours.security_level == theirs.security_level
    assert {each["name"] for each in ours.get_ciphers()} <= {each["name"] for each in theirs.get_ciphers()}
