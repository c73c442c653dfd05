"""The built-in rules: which addresses are on the public internet. The table is our own, because ``ipaddress`` errs.

``is_global`` of CPython 3.11 takes 224.0.0.1, 64:ff9b::/96, 2002::/16, 3fff::/20 and fec0::/10 for global addresses.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

#: The IANA special-purpose registry, multicast, the reserved rest, and what clouds put on public numbers.
_IPV4_DENIED: Final = tuple(
    IPv4Network(each)
    for each in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's WireServer: routable, and it hands out a machine's configuration
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
#: The range that is handed out as global unicast; all other addresses are refused.
_IPV6_GLOBAL: Final = IPv6Network("2000::/3")
_IPV6_DENIED: Final = tuple(
    IPv6Network(each)
    for each in (
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",  # 6to4 carries any IPv4 address in it, private ones too
        "2620:4f:8000::/48",
        "3fff::/20",
    )
)


def is_public(address: Address) -> bool:
    """Tell whether the address is on the public internet."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _IPV4_DENIED)
    return address in _IPV6_GLOBAL and not any(address in network for network in _IPV6_DENIED)


def unmapped(address: Address) -> Address:
    """Return the IPv4 address that ``::ffff:a.b.c.d`` stands for, and any other one as it is."""
    return getattr(address, "ipv4_mapped", None) or address
