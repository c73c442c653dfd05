"""Where a server may listen without TLS: on this machine's loopback, and wherever its operator says so."""

from __future__ import annotations

import resource
import socket
from typing import TYPE_CHECKING

import pytest

from noteflow_hooks.errors import SettingsError
from noteflow_hooks.rpc.server.transport import CALLS_AT_ONCE, arguments, refuse_plaintext

if TYPE_CHECKING:
    from collections.abc import Sequence

#: What names stand for here; a host that isn't among them has no address.
HOSTS = {
    "localhost": ["::1", "127.0.0.1"],
    "loop.example": ["127.0.0.1", "127.8.8.8"],
    "mixed.example": ["127.0.0.1", "192.0.2.7"],
    "server.example": ["192.0.2.7"],
    "nothing.example": [],
}


@pytest.fixture(autouse=True)
def _names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let names have the addresses above; literal addresses are read as the system does."""
    real = socket.getaddrinfo

    def look_up(host: str, port: None, *, type: socket.SocketKind) -> Sequence[object]:  # noqa: A002 - socket's
        if host in HOSTS:
            return [(0, 0, 0, "", (address, 0)) for address in HOSTS[host]]
        return real(host, port, type=type, flags=socket.AI_NUMERICHOST)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


@pytest.mark.parametrize(
    "bind",
    [
        "127.0.0.1:50051",
        "127.0.0.2:50051",
        "127.255.255.254:50051",
        "127.1:50051",
        "[::1]:50051",
        "[::ffff:127.0.0.1]:50051",
        "localhost:50051",
        "loop.example:50051",
        "unix:/run/hooks.sock",
        "unix:hooks.sock",
        "unix-abstract:hooks",
    ],
)
def test_this_machine_alone_needs_no_tls(bind: str) -> None:
    """Loopback in each of its forms, names that stand for nothing else, and sockets in the file system."""
    refuse_plaintext(bind)


@pytest.mark.parametrize(
    "bind",
    [
        "0.0.0.0:50051",
        "0:50051",
        "[::]:50051",
        ":::50051",
        "[::ffff:0.0.0.0]:50051",
        "10.0.0.7:50051",
        "192.168.1.7:50051",
        "192.0.2.7:50051",
        "[fe80::1]:50051",
        "[fd00::1]:50051",
        "128.0.0.1:50051",
        "server.example:50051",
        "mixed.example:50051",
        "nothing.example:50051",
        "no-such-host:50051",
        "*:50051",
        "::1:50051",
        "ipv4:127.0.0.1:50051",
        "ipv4:0.0.0.0:50051",
        "dns:///localhost:50051",
        "UNIX:/run/hooks.sock",
        "a" * 300 + ":50051",
    ],
)
def test_anything_else_is_refused_with_what_would_allow_it(bind: str) -> None:
    """Also a name of which one address is another's, and whatever can't be told."""
    with pytest.raises(SettingsError) as caught:
        refuse_plaintext(bind)
    line = str(caught.value)
    assert line.startswith(f"NOTEFLOW_HOOKS_GRPC_BIND is {bind!r}, which others than this machine may reach")
    for name in ("GRPC_TLS_CERT", "GRPC_TLS_KEY", "GRPC_INSECURE_PLAINTEXT=true"):
        assert f"NOTEFLOW_HOOKS_{name}" in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("limit", "connections"), [(1024, 768), (resource.RLIM_INFINITY, CALLS_AT_ONCE), (10**6, CALLS_AT_ONCE), (1, 1)]
)
def test_connections_never_take_all_descriptors(monkeypatch: pytest.MonkeyPatch, limit: int, connections: int) -> None:
    """A quarter is left for the database, Redis and files."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    assert dict(arguments({}))["grpc.max_allowed_incoming_connections"] == connections


def test_an_argument_can_be_replaced() -> None:
    """By name; the others stay."""
    given = arguments({"grpc.max_connection_idle_ms": 1})
    assert len(given) == len(dict(given)) == len(arguments({}))
    assert dict(given)["grpc.max_connection_idle_ms"] == 1
