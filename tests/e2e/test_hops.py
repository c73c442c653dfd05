"""No hop of an event's way waits for an acknowledgement, which may be put off for 40 ms: each sends at once."""

from __future__ import annotations

import socket

import pytest

from noteflow_hooks.bench.http2 import Connection
from tests.support.sockets import tcp_connections
from tests.support.steady_publisher import publish_request
from tests.support.system_rig import SystemRig, a_path


def test_every_connection_of_a_system_sends_at_once(rig: SystemRig) -> None:
    """Callers', the server's, the workers' and Redis' own, whichever ends they are of."""
    with Connection(rig.system.grpc):
        webhook = rig.webhook(a_path())
        rig.client.events.PublishEvent(publish_request())
        rig.settled(webhook, "succeeded", count=1)
        processes = rig.system.processes
        for name in ("server", "worker-1", "valkey"):
            try:
                set_to = [
                    (each.getpeername(), each.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
                    for each in tcp_connections(processes[name])
                ]
            except PermissionError:
                pytest.skip("this machine lets no process look into another one's connections")
            assert set_to, name
            assert [peer for peer, at_once in set_to if not at_once] == [], name
