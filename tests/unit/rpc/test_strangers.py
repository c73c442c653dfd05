"""Where a call without a token comes from, by gRPC's name for its caller."""

from __future__ import annotations

import pytest

from noteflow_hooks.rpc.interceptors.strangers import HERE, address_of


@pytest.mark.parametrize(
    "peer",
    [
        "ipv4:127.0.0.1:4711",
        "ipv4:127.8.9.10:1",
        "ipv6:%5B::1%5D:4711",
        "ipv6:[::1]:1",
        "ipv6:%5B::ffff:127.0.0.1%5D:9",
        "unix:",
        "unix:/run/x",
    ],
)
def test_loopback_and_sockets_are_this_machine(peer: str) -> None:
    """Nobody else reaches those."""
    assert address_of(peer) == HERE


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:192.0.2.7:4711", "192.0.2.7"),
        ("ipv6:%5B2001:db8:1:2:3:4:5:6%5D:4711", "2001:db8:1:2::/64"),
        ("ipv6:%5Bfe80::1%25eth0%5D:4711", "fe80::/64"),
        ("ipv6:%5B::ffff:192.0.2.7%5D:4711", "192.0.2.7"),
    ],
)
def test_others_are_known_by_their_address_and_of_ipv6_by_their_network(peer: str, address: str) -> None:
    """Who has one address of such a network has all of them; a port says nothing."""
    assert address_of(peer) == address
