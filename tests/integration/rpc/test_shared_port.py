"""A port that is kept for several servers: who else is refused, and what must not keep it from being had."""

from __future__ import annotations

import socket
from contextlib import closing

import pytest

from noteflow_hooks.errors import SettingsError
from noteflow_hooks.rpc.server.port import SharedPort

ANY = "127.0.0.1:0"


def _listener(address: str, *, shares: bool) -> socket.socket:
    """Listen as gRPC does, for a server that shares its port or for one that doesn't."""
    host, _, port = address.rpartition(":")
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shares))
    try:
        made.bind((host, int(port)))
        made.listen()
    except OSError:
        made.close()
        raise
    return made


def _refused(address: str) -> None:
    with pytest.raises(SettingsError, match=f"can't listen on {address}; it is in use"):
        SharedPort(address)


def test_servers_of_the_group_share_the_port() -> None:
    """As many as there are; port 0 is one that was free."""
    with closing(SharedPort(ANY)) as port:
        assert not port.address.endswith(":0")
        for each in [_listener(port.address, shares=True) for _ in range(4)]:
            each.close()


def test_nobody_else_gets_the_port_while_none_of_them_listens() -> None:
    """Neither another group nor a server by itself."""
    with closing(SharedPort(ANY)) as port:
        _refused(port.address)
        with pytest.raises(OSError, match="in use"):
            _listener(port.address, shares=False)


@pytest.mark.parametrize("shares", [True, False])
def test_a_port_that_somebody_listens_on_is_refused(shares: bool) -> None:  # noqa: FBT001 - a parameter of the test's
    """Also one that would be shared: two groups on one port would share its calls, silently."""
    with closing(_listener(ANY, shares=shares)) as listener:
        _refused(f"127.0.0.1:{listener.getsockname()[1]}")


@pytest.mark.parametrize("shares", [True, False])
def test_connections_that_are_over_do_not_keep_the_port(shares: bool) -> None:  # noqa: FBT001 - as above
    """A server that ends leaves them for a minute (TIME_WAIT), and the next one starts at once."""
    with closing(_listener(ANY, shares=shares)) as listener:
        address = listener.getsockname()
        with socket.create_connection(address) as client, listener.accept()[0] as accepted:
            accepted.close()
            assert client.recv(1) == b""
    with closing(SharedPort(f"127.0.0.1:{address[1]}")) as port:
        _listener(port.address, shares=True).close()


def test_all_that_a_name_stands_for_is_taken() -> None:
    """So does gRPC: all addresses of a name, and both kinds for a wildcard."""
    for host in ("localhost", "0.0.0.0", "[::]"):  # noqa: S104 - what operators write
        with closing(SharedPort(f"{host}:0")) as port, pytest.raises(OSError, match="in use"):
            _listener(f"127.0.0.1:{port.address.rpartition(':')[2]}", shares=False)


@pytest.mark.parametrize("bind", ["unix:/tmp/none.sock", "unix-abstract:none"])
def test_a_socket_in_the_file_system_can_not_be_shared(bind: str) -> None:
    """One clear line that names the setting."""
    with pytest.raises(SettingsError, match=r"GRPC_BIND is .*one process at a time"):
        SharedPort(bind)


def test_an_address_that_is_not_this_machine_s_is_refused() -> None:
    """As by a server alone."""
    with pytest.raises(SettingsError, match="not this machine's"):
        SharedPort("192.0.2.1:50051")
