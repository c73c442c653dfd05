"""A server that writes its answer in pieces, each of which waits for the one before, costs no waiting of ours."""

from __future__ import annotations

import socket
import time
from statistics import median
from typing import TYPE_CHECKING, Final

import pytest

from noteflow_hooks.domain.deliveries import Claim
from noteflow_hooks.egress import EgressPolicy
from noteflow_hooks.executor import WebhookExecutor
from tests.support.builders import a_delivery, a_webhook
from tests.support.certificates import authority, authority_pem, server_context
from tests.support.receiver import Receiver

if TYPE_CHECKING:
    from tests.support.receiver_connection import ReceiverConnection

POSTS: Final = 25
#: Delayed acknowledgements make it fifty times and more.
AT_MOST: Final = 8


def median_s(*, tls: bool, waits: bool) -> float:
    """Return how long a POST takes on a reused connection; ``waits`` leaves the server's Nagle algorithm on."""

    def serve(connection: ReceiverConnection) -> None:
        if tls:
            connection.secure(server_context(authority(), ("localhost",)))
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, not waits)
        while connection.read_request():
            for piece in (b"HTTP/1.1 200 OK\r\n", b"Content-Length: 2\r\n\r\n", b"ok"):
                connection.send(piece)

    took = []
    with Receiver(greeting=serve) as receiver:
        executor = WebhookExecutor(
            EgressPolicy(allow=["127.0.0.0/8"], allow_http_loopback=True), ca_bundle=authority_pem()
        )
        webhook = a_webhook(url=f"{'https' if tls else 'http'}://localhost:{receiver.port}/", timeout_ms=60_000)
        for _ in range(POSTS):
            began = time.perf_counter()
            assert executor.post(Claim(a_delivery(), webhook, b"{}")).succeeded
            took.append(time.perf_counter() - began)
        executor.close()
        assert receiver.connections == 1
    # The first one, over a new connection, is acknowledged at once in any case.
    return median(took[1:])


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="only Linux can be asked to acknowledge at once")
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_an_answer_in_small_pieces_takes_no_longer(*, tls: bool) -> None:
    """Held against the same server with its Nagle algorithm off."""
    assert median_s(tls=tls, waits=True) < AT_MOST * median_s(tls=tls, waits=False)
