"""The egress table: addresses, names and URLs, each with what must come of it at registration and at an attempt.

It is written out by hand from the registries it rests on, and computes nothing from the rules that it tests.
"""

from __future__ import annotations

from typing import Final

from tests.support.egress_rows import PUBLIC, PUBLIC_V6, EgressRow, Fate, literal, named, resolved
from tests.support.egress_urls import URLS

#: What is no public internet (IANA IPv4 Special-Purpose Address Registry, multicast, class E, Azure's WireServer), with
#: the last address before it, its first and its last one, and the first one after it. A neighbour that another range
#: forbids, or that does not exist, is left out as ``-``.
IPV4_RANGES: Final = """
    0.0.0.0/8        -                0.0.0.0          0.255.255.255    1.0.0.0
    10.0.0.0/8       9.255.255.255    10.0.0.0         10.255.255.255   11.0.0.0
    100.64.0.0/10    100.63.255.255   100.64.0.0       100.127.255.255  100.128.0.0
    127.0.0.0/8      126.255.255.255  127.0.0.0        127.255.255.255  128.0.0.0
    168.63.129.16/32 168.63.129.15    168.63.129.16    168.63.129.16    168.63.129.17
    169.254.0.0/16   169.253.255.255  169.254.0.0      169.254.255.255  169.255.0.0
    172.16.0.0/12    172.15.255.255   172.16.0.0       172.31.255.255   172.32.0.0
    192.0.0.0/24     191.255.255.255  192.0.0.0        192.0.0.255      192.0.1.0
    192.0.2.0/24     192.0.1.255      192.0.2.0        192.0.2.255      192.0.3.0
    192.31.196.0/24  192.31.195.255   192.31.196.0     192.31.196.255   192.31.197.0
    192.52.193.0/24  192.52.192.255   192.52.193.0     192.52.193.255   192.52.194.0
    192.88.99.0/24   192.88.98.255    192.88.99.0      192.88.99.255    192.88.100.0
    192.168.0.0/16   192.167.255.255  192.168.0.0      192.168.255.255  192.169.0.0
    192.175.48.0/24  192.175.47.255   192.175.48.0     192.175.48.255   192.175.49.0
    198.18.0.0/15    198.17.255.255   198.18.0.0       198.19.255.255   198.20.0.0
    198.51.100.0/24  198.51.99.255    198.51.100.0     198.51.100.255   198.51.101.0
    203.0.113.0/24   203.0.112.255    203.0.113.0      203.0.113.255    203.0.114.0
    224.0.0.0/4      223.255.255.255  224.0.0.0        239.255.255.255  -
    240.0.0.0/4      -                240.0.0.0        255.255.255.255  -
"""

#: The same of IPv6 (IANA IPv6 Special-Purpose Address Registry), inside 2000::/3.
IPV6_RANGES: Final = """
    2001::/23        2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff 2001::        2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff 2001:200::
    2001:db8::/32    2001:db7:ffff:ffff:ffff:ffff:ffff:ffff  2001:db8::    2001:db8:ffff:ffff:ffff:ffff:ffff:ffff 2001:db9::
    2002::/16        2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff 2002::        2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff 2003::
    2620:4f:8000::/48 2620:4f:7fff:ffff:ffff:ffff:ffff:ffff 2620:4f:8000:: 2620:4f:8000:ffff:ffff:ffff:ffff:ffff 2620:4f:8001::
    3fff::/20        3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff 3fff::        3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff 3fff:1000::
"""  # noqa: E501 - a table

#: Single addresses that somebody would like to reach, by what answers there.
IPV4_FORBIDDEN: Final = (
    "0.0.0.1",
    "10.0.0.5",
    "100.64.0.5",
    "100.100.100.200",  # Alibaba Cloud's metadata
    "127.0.0.1",
    "127.0.0.53",  # systemd's resolver
    "127.1.2.3",
    "169.254.169.254",  # most clouds' metadata
    "169.254.170.2",  # the credentials of Amazon's containers
    "169.254.169.253",
    "172.16.0.5",
    "172.17.0.1",  # Docker's host
    "192.0.0.8",
    "192.0.0.170",
    "192.0.0.192",  # Oracle Cloud's metadata
    "192.168.1.5",
    "224.0.0.251",
)

IPV6_FORBIDDEN: Final = (
    "::",
    "::1",
    "::2",
    "::7f00:1",
    "::127.0.0.1",  # IPv4-compatible
    "::10.0.0.5",
    "::169.254.169.254",
    "::ffff:0.0.0.0",  # IPv4-mapped
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.5",
    "::ffff:169.254.169.254",
    "::ffff:a9fe:a9fe",
    "::ffff:168.63.129.16",
    "::ffff:0:10.0.0.5",  # SIIT
    "::ffff:0:1.1.1.1",
    "64:ff9b::10.0.0.5",  # NAT64
    "64:ff9b::1.1.1.1",
    "64:ff9b:1::10.0.0.5",
    "64:ff9b:1:ffff:ffff:ffff:ffff:ffff",
    "100::1",  # discard
    "100:0:0:1::1",
    "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "2001:0:a00:5::1",  # Teredo
    "2001:2::1",  # benchmarking
    "2001:10::1",
    "2001:20::1",  # ORCHID
    "2002:a00:5::1",  # 6to4 of 10.0.0.5
    "2002:a9fe:a9fe::1",
    "4000::",
    "5f00::1",  # segment routing
    "8000::1",
    "fc00::1",  # unique local
    "fd00::5",
    "fd00:ec2::254",  # Amazon's metadata
    "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "fe00::1",
    "fe80::5",  # link-local
    "febf:ffff::1",
    "fec0::1",  # site-local
    "feff::1",
    "ff02::1",  # multicast
    "ff0e::1",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
)

ADDRESSES_ALLOWED: Final = (
    "1.1.1.1",
    "8.8.8.8",
    PUBLIC,
    "2000::",
    "2001:4860:4860::8888",
    "2606:4700:4700::1111",
    PUBLIC_V6,
    "2a00:1450:4001::1",
    "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "::ffff:1.1.1.1",
    "::ffff:5db8:d822",
)


def _around(ranges: str) -> tuple[EgressRow, ...]:
    """Return each range's two ends and its two neighbours."""
    rows = []
    for line in ranges.strip().splitlines():
        _, before, first, last, after = line.split()
        fates = {
            first: Fate.FORBIDDEN,
            last: Fate.FORBIDDEN,
            before: Fate.ALLOWED,
            after: Fate.ALLOWED,
        }
        rows += [make(each, fate) for each, fate in fates.items() if each != "-" for make in (literal, named)]
    return tuple(rows)


#: Addresses in the URL itself, and as the only answer for a name.
ADDRESSES: Final = (
    *_around(IPV4_RANGES),
    *_around(IPV6_RANGES),
    *(make(each, Fate.FORBIDDEN) for each in IPV4_FORBIDDEN + IPV6_FORBIDDEN for make in (literal, named)),
    *(make(each, Fate.ALLOWED) for each in ADDRESSES_ALLOWED for make in (literal, named)),
)

_MANY: Final = tuple(f"93.184.{n // 250}.{n % 250 + 1}" for n in range(500))

#: Names with several answers, or none. A name's aliases are the resolver's business: their addresses arrive in a row.
ANSWERS: Final = (
    resolved("two-public", Fate.ALLOWED, [PUBLIC, "1.1.1.1"]),
    resolved("two-public-turned", Fate.ALLOWED, ["1.1.1.1", PUBLIC]),
    resolved("both-families", Fate.ALLOWED, [PUBLIC_V6, PUBLIC]),
    resolved("said-twice", Fate.ALLOWED, [PUBLIC, "1.1.1.1", PUBLIC, PUBLIC]),
    resolved("eight-tried", Fate.ALLOWED, [f"93.184.216.{n}" for n in range(1, 13)]),
    resolved("mapped-public", Fate.ALLOWED, ["::ffff:1.1.1.1", PUBLIC]),
    resolved("five-hundred", Fate.ALLOWED, _MANY),
    resolved("none-at-all", Fate.NAMELESS, []),
    resolved("private-first", Fate.FORBIDDEN, ["10.0.0.5", PUBLIC]),
    resolved("private-last", Fate.FORBIDDEN, [PUBLIC, "10.0.0.5"]),
    resolved("private-between", Fate.FORBIDDEN, [PUBLIC, "169.254.169.254", "1.1.1.1"]),
    resolved("private-beyond-what-is-tried", Fate.FORBIDDEN, [*_MANY[:20], "192.168.1.5"]),
    resolved("private-after-five-hundred", Fate.FORBIDDEN, [*_MANY, "127.0.0.53"]),
    resolved("private-before-five-hundred", Fate.FORBIDDEN, ["fd00::5", *_MANY]),
    resolved("mapped-private-among-public", Fate.FORBIDDEN, [PUBLIC, "::ffff:10.0.0.5"]),
    resolved("private-in-the-other-family", Fate.FORBIDDEN, [PUBLIC, "fd00::5"]),
    resolved("private-in-the-old-family", Fate.FORBIDDEN, [PUBLIC_V6, "172.16.0.5"]),
    resolved("wire-server-among-public", Fate.FORBIDDEN, [PUBLIC, "168.63.129.16"]),
    resolved("translated-among-public", Fate.FORBIDDEN, [PUBLIC, "64:ff9b::5db8:d822"]),
    resolved("all-private", Fate.FORBIDDEN, ["10.0.0.5", "172.16.0.5", "192.168.1.5"]),
    resolved("link-local-in-a-zone", Fate.FORBIDDEN, ["fe80::5%1"]),
    resolved("link-local-on-an-interface", Fate.FORBIDDEN, [PUBLIC, "fe80::5%lo"]),
    resolved("loopback-in-a-zone", Fate.FORBIDDEN, ["::1%1"]),
    resolved("mapped-in-a-zone", Fate.FORBIDDEN, ["::ffff:10.0.0.5%1"]),
    resolved("unspecified", Fate.FORBIDDEN, ["0.0.0.0", "::"]),  # noqa: S104 - nobody binds here
)

_TEN: Final = "10.0.0.0/8"
_EVERYTHING_V4: Final = "0.0.0.0/0"
_EVERYTHING_V6: Final = "::/0"

#: The operator's lists: a denial beats a permission, which beats the ranges above.
OPERATED: Final = (
    literal("10.0.0.5", Fate.ALLOWED, allow=[_TEN]),
    literal("10.255.255.255", Fate.ALLOWED, allow=[_TEN]),
    literal("::ffff:10.0.0.5", Fate.ALLOWED, allow=[_TEN]),
    literal("::10.0.0.5", Fate.FORBIDDEN, allow=[_TEN]),
    literal("64:ff9b::10.0.0.5", Fate.FORBIDDEN, allow=[_TEN]),
    literal("11.0.0.0", Fate.ALLOWED, allow=[_TEN]),
    literal("172.16.0.5", Fate.FORBIDDEN, allow=[_TEN]),
    literal("10.0.0.5", Fate.FORBIDDEN, allow=[_TEN], deny=["10.0.0.5"]),
    literal("10.0.0.6", Fate.ALLOWED, allow=[_TEN], deny=["10.0.0.5"]),
    literal("10.0.0.5", Fate.FORBIDDEN, allow=["10.0.0.5"], deny=[_TEN]),
    literal("::ffff:10.0.0.5", Fate.FORBIDDEN, allow=["10.0.0.5"], deny=[_TEN]),
    literal("169.254.169.254", Fate.ALLOWED, allow=["169.254.169.254/32"]),
    literal("169.254.169.253", Fate.FORBIDDEN, allow=["169.254.169.254/32"]),
    literal("fd00::5", Fate.ALLOWED, allow=["fd00::/8"]),
    literal("fc00::1", Fate.FORBIDDEN, allow=["fd00::/8"]),
    literal("fd00::5", Fate.FORBIDDEN, allow=["fd00::/8"], deny=["fd00::5/128"]),
    literal(PUBLIC, Fate.FORBIDDEN, deny=["93.184.216.0/24"]),
    literal("::ffff:93.184.216.34", Fate.FORBIDDEN, deny=["93.184.216.0/24"]),
    literal("93.184.217.0", Fate.ALLOWED, deny=["93.184.216.0/24"]),
    literal("93.184.215.255", Fate.ALLOWED, deny=["93.184.216.0/24"]),
    literal(PUBLIC_V6, Fate.FORBIDDEN, deny=["2606:2800::/32"]),
    # A site's own NAT64 prefix is public by number.
    literal("2a00:1450:64::10.0.0.5", Fate.FORBIDDEN, deny=["2a00:1450:64::/96"]),
    literal("192.168.1.5", Fate.ALLOWED, allow=[_EVERYTHING_V4]),
    literal("fd00::5", Fate.FORBIDDEN, allow=[_EVERYTHING_V4]),
    literal("fd00::5", Fate.ALLOWED, allow=[_EVERYTHING_V6]),
    literal("192.168.1.5", Fate.FORBIDDEN, allow=[_EVERYTHING_V6]),
    literal("::ffff:192.168.1.5", Fate.FORBIDDEN, allow=[_EVERYTHING_V6]),
    literal(PUBLIC, Fate.FORBIDDEN, deny=[_EVERYTHING_V4]),
    literal(PUBLIC, Fate.ALLOWED, deny=[_EVERYTHING_V6]),
    literal("::ffff:93.184.216.34", Fate.ALLOWED, deny=[_EVERYTHING_V6]),
    literal(PUBLIC_V6, Fate.FORBIDDEN, deny=[_EVERYTHING_V6]),
    resolved("inside-and-outside", Fate.ALLOWED, ["10.0.0.5", PUBLIC], allow=[_TEN]),
    resolved("inside-and-elsewhere", Fate.FORBIDDEN, ["10.0.0.5", "172.16.0.5"], allow=[_TEN]),
    resolved("one-denied-among-public", Fate.FORBIDDEN, ["1.1.1.1", PUBLIC], deny=[PUBLIC]),
    resolved("one-denied-among-permitted", Fate.FORBIDDEN, ["10.0.0.6", "10.0.0.5"], allow=[_TEN], deny=["10.0.0.5"]),
)

ROWS: Final = ADDRESSES + ANSWERS + OPERATED + URLS
