"""A receiver that demands a client certificate, over real TLS: the right one, wrong ones, and none.

Whatever else a connection goes through holds for these too: kept connections, new ones in their place, a proxy.
"""

from __future__ import annotations

import gc
import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest

from noteflow_hooks.certificates.reader import PemReader
from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.client_certificates import PLAIN_TLS, ClientTls
from noteflow_hooks.domain.deliveries import Claim
from noteflow_hooks.egress import EgressPolicy
from noteflow_hooks.egress.proxy import parse_proxy
from noteflow_hooks.executor import WebhookExecutor
from noteflow_hooks.executor.http.prepared import PreparedEndpoint
from noteflow_hooks.executor.http.trust import OwnContexts
from tests.support.builders import a_delivery, a_webhook
from tests.support.certificates import authority, authority_pem, server_context
from tests.support.client_certificates import Issuer, client_root, demanding_context
from tests.support.connect_proxy import ConnectProxy
from tests.support.receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import Iterator

    from noteflow_hooks.domain.deliveries import AttemptResult
    from noteflow_hooks.domain.webhooks import WebhookConfig
    from tests.support.client_certificates import Pair

HOST: Final = "localhost"
RIGHT: Final = client_root().pair()
#: The authority of the receivers' own certificates, which the executor is not made to trust where a test says so.
RECEIVERS: Final = authority().cert_pem.bytes().decode()


def own(pair: Pair | None = RIGHT, server_ca: str | None = None) -> ClientTls:
    """Return what an endpoint has that was given these."""
    named = {} if pair is None else {"client_certificate": pair.certificate, "client_key": pair.key}
    if server_ca is not None:
        named["server_ca"] = server_ca
    return PLAIN_TLS.changed(named, PemReader().read)  # type: ignore[arg-type]  # the fields' names


def executor(*, trusts: bool = True, **options: Any) -> WebhookExecutor:  # noqa: ANN401 - the policy's own
    egress = EgressPolicy(allow=["127.0.0.0/8"], allow_http_loopback=True, **options)
    return WebhookExecutor(egress, ca_bundle=authority_pem() if trusts else None, monotonic=lambda: 0.0)


@pytest.fixture
def posts() -> Iterator[WebhookExecutor]:
    made = executor()
    yield made
    made.close()


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def receiver(request: pytest.FixtureRequest) -> Iterator[Receiver]:
    """One that demands a certificate, in either version: 1.3 tells of a wrong one after the handshake."""
    with Receiver(context=demanding_context(HOST, tls_version=request.param)) as running:
        yield running


def endpoint(receiver: Receiver, tls: ClientTls, **overrides: Any) -> WebhookConfig:  # noqa: ANN401 - its fields
    return a_webhook(url=f"https://{HOST}:{receiver.port}/", timeout_ms=60_000, tls=tls, **overrides)


def post(posts: WebhookExecutor, webhook: WebhookConfig) -> AttemptResult:
    return posts.post(Claim(a_delivery(), webhook, b"{}"))


def test_the_right_certificate_is_taken(posts: WebhookExecutor, receiver: Receiver) -> None:
    """And a chain: the receiver knows the authority at its end alone."""
    assert post(posts, endpoint(receiver, own())).succeeded
    below = client_root().below("Below")
    pair = below.pair()
    assert post(posts, endpoint(receiver, own(replace(pair, certificate=pair.certificate + below.pem)))).succeeded
    assert len(receiver.requests) == 2


def test_a_wrong_certificate_or_none_fails_as_tls(posts: WebhookExecutor, receiver: Receiver) -> None:
    """The receiver refuses the handshake, and gets nothing of the request."""
    for tls in (PLAIN_TLS, own(Issuer.root("Other").pair())):
        result = post(posts, endpoint(receiver, tls))
        assert (result.error_kind, result.succeeded) == (ErrorKind.TLS, False)
    assert receiver.requests == []


def test_one_that_has_ended_since_it_was_set_fails_as_tls(posts: WebhookExecutor, receiver: Receiver) -> None:
    """It is sent all the same: whether it is still good, the receiver says."""
    pair = client_root().pair(not_after=datetime.now(UTC) - timedelta(hours=1))
    late = replace(own(), client_certificate=pair.certificate, client_key=pair.key)
    result = post(posts, endpoint(receiver, late))
    assert result.error_kind is ErrorKind.TLS
    assert "certificate" in str(result.error_message)
    assert receiver.requests == []


def test_connections_are_kept_for_one_version_of_the_certificates(posts: WebhookExecutor, receiver: Receiver) -> None:
    """What was let in by one certificate is never used by another, nor by none."""
    webhook = endpoint(receiver, own())
    for _ in range(3):
        assert post(posts, webhook).succeeded
    assert receiver.connections == 1
    assert post(posts, replace(webhook, tls=own(client_root().pair()))).succeeded
    assert receiver.connections == 2
    assert post(posts, replace(webhook, tls=PLAIN_TLS)).error_kind is ErrorKind.TLS
    assert receiver.connections == 3


def test_a_new_connection_in_a_kept_ones_place_shows_the_certificate_too(posts: WebhookExecutor) -> None:
    """The receiver closes between two POSTs, without a word."""
    with Receiver(context=demanding_context(HOST)) as receiver:
        webhook = endpoint(receiver, own())
        receiver.script("/", lambda connection: connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
        for _ in range(3):
            assert post(posts, webhook).succeeded
        assert receiver.connections == 3


def test_it_goes_through_the_proxys_tunnel() -> None:
    """The proxy gets a name and passes bytes on; the certificate is for the endpoint."""
    name = "receiver.example"
    with Receiver(context=demanding_context(name)) as receiver, ConnectProxy() as proxy:
        through = executor(proxy=parse_proxy(proxy.url()))
        webhook = a_webhook(url=receiver.url(host=name), timeout_ms=60_000, tls=own())
        assert post(through, webhook).succeeded
        assert post(through, replace(webhook, tls=PLAIN_TLS)).error_kind is ErrorKind.TLS
        through.close()
        assert len(receiver.requests) == 1
        assert {each.method for each in proxy.asked} == {"CONNECT"}


def test_authorities_of_its_own_stand_for_all_others() -> None:
    """Where the operator's are trusted, they are not for this endpoint; where they are not, its own are."""
    with Receiver(context=server_context(authority(), (HOST,))) as receiver:
        trusting, strict = executor(), executor(trusts=False)
        assert post(trusting, endpoint(receiver, PLAIN_TLS)).succeeded
        assert post(trusting, endpoint(receiver, own(None, Issuer.root().pem))).error_kind is ErrorKind.TLS
        assert post(strict, endpoint(receiver, PLAIN_TLS)).error_kind is ErrorKind.TLS
        assert post(strict, endpoint(receiver, own(None, RECEIVERS))).succeeded
        wrong_name = a_webhook(url=f"https://127.0.0.1:{receiver.port}/", tls=own(None, RECEIVERS))
        assert post(strict, wrong_name).error_kind is ErrorKind.TLS
        for each in (trusting, strict):
            each.close()


def test_beside_a_client_certificate_the_operators_authorities_count(posts: WebhookExecutor) -> None:
    """And without the operator's, a receiver of his is not trusted."""
    with Receiver(context=demanding_context(HOST)) as receiver:
        assert post(posts, endpoint(receiver, own())).succeeded
        strict = executor(trusts=False)
        assert post(strict, endpoint(receiver, own())).error_kind is ErrorKind.TLS
        strict.close()


@pytest.mark.parametrize(
    "tls",
    [
        ClientTls(unreadable=frozenset({"client_certificate", "client_key"})),
        ClientTls("no certificate", "no key"),
        ClientTls(RIGHT.certificate),
        ClientTls(client_key=RIGHT.key),
        ClientTls(RIGHT.certificate, Issuer.root().pair().key),
        ClientTls(server_ca="no authority"),
    ],
    ids=["unreadable", "no PEM", "no key", "no certificate", "another key", "no authority"],
)
def test_what_can_not_be_used_sends_nothing(tls: ClientTls) -> None:
    """As after a key is lost, or a row was changed by hand: the fault is our own, and nobody is dialled."""
    with Receiver(context=server_context(authority(), (HOST,))) as receiver:
        posts = executor()
        result = post(posts, endpoint(receiver, tls, secret_unavailable=bool(tls.unreadable)))
        assert (result.error_kind, result.is_our_fault) == (ErrorKind.SECRET_UNAVAILABLE, True)
        assert "certificates" in str(result.error_message)
        posts.close()
        assert receiver.connections == 0


def test_over_http_nothing_is_sent(posts: WebhookExecutor) -> None:
    """Where a row was changed by hand: its certificate would be left out."""
    with Receiver() as receiver:
        result = post(posts, a_webhook(url=receiver.url(), tls=own()))
        assert result.error_kind is ErrorKind.ADDRESS_NOT_ALLOWED
        assert receiver.connections == 0


def test_contexts_are_made_once_a_version_and_bounded_in_number() -> None:
    """Of too many the one goes that has been idle longest; all go with their endpoints."""
    contexts = OwnContexts(None, limit=2)
    prepared = [PreparedEndpoint(a_webhook(tls=own()), user_agent="x", allow_http_loopback=False) for _ in range(3)]
    first = contexts.of(prepared[0])
    contexts.of(prepared[1])
    assert contexts.of(prepared[0]) is first
    contexts.of(prepared[2])
    assert len(contexts) == 2
    assert contexts.of(prepared[0]) is first
    prepared.clear()
    gc.collect()
    assert len(contexts) == 0
