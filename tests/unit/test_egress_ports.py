"""Which ports may be dialled: the built-in rule, the operator's list, and what a refusal says to whom."""

from __future__ import annotations

import pytest

from noteflow_hooks.domain.urls import parse_url
from noteflow_hooks.egress import EgressPolicy
from noteflow_hooks.egress.ports import KNOWN_SERVICES, Ports
from noteflow_hooks.errors import AddressNotAllowedError, InvalidInputError

#: The first port that systems give out by chance (Linux' ip_local_port_range).
EPHEMERAL = 32_768
BUILT_IN = "443, 80 and 1024 to 65535, without the ports of well-known other services"


@pytest.mark.parametrize(
    "port", [80, 443, 1024, 3000, 5000, 8000, 8080, 8081, 8443, 8787, 8888, 9000, 9443, 10_443, EPHEMERAL, 65_535]
)
def test_the_webs_ports_and_ordinary_high_ones_are_allowed(port: int) -> None:
    """Receivers listen on these."""
    assert Ports().permits(port)


@pytest.mark.parametrize(
    "port", [1, 21, 22, 23, 25, 53, 79, 81, 110, 111, 135, 139, 389, 442, 444, 445, 631, 853, 1023]
)
def test_privileged_ports_but_the_webs_are_refused(port: int) -> None:
    """Below 1024 there is HTTP on two ports, and everything else on the others."""
    assert not Ports().permits(port)


@pytest.mark.parametrize(
    "port",
    [
        *(1433, 1521, 3306, 5432, 5433, 6379, 6432, 9042, 9200, 9300, 11_211, 26_379, 27_017),
        *(1883, 4222, 5672, 8883, 9092, 15_672, 2181, 2379, 2380, 4369, 8200, 8300, 8500),
        *(2375, 2376, 2377, 6443, 10_250, 10_255, 2049, 3128, 1080, 3389, 5900, 5985, 6000, 8009, 5555, 7001),
    ],
)
def test_the_ports_of_known_services_are_refused(port: int) -> None:
    """Databases, caches, brokers, coordination, containers, clusters and remote desktops take no webhooks."""
    assert not Ports().permits(port)
    assert port in KNOWN_SERVICES


def test_no_known_service_is_where_ports_are_given_out_by_chance() -> None:
    """Below that a rule for it would be without effect, and above it would refuse a receiver now and then."""
    assert all(1024 <= port < EPHEMERAL for port in KNOWN_SERVICES)
    assert len(KNOWN_SERVICES) > 100


def test_the_operators_list_replaces_the_built_in_rule() -> None:
    """What it names is allowed, known services too, and nothing else is."""
    ports = Ports(" 443, 9000-9002 ,6379,8443 - 8443")
    assert [port for port in range(1, 65_536) if ports.permits(port)] == [443, 6379, 8443, 9000, 9001, 9002]
    assert str(ports) == "443, 9000-9002, 6379, 8443"


@pytest.mark.parametrize(
    "text",
    [
        *("0", "65536", "https", "-1", "443,,80", ",", "443;80", "9100-9000", "1-65536", "0-80", "443-", "4 43"),
        *("443.0", "\uff14\uff14\uff13", "443\n-444x", "123456", "1-2-3", "0x1bb"),
    ],
)
def test_a_list_that_is_none_is_refused(text: str) -> None:
    """The message names the part that is wrong."""
    with pytest.raises(InvalidInputError) as caught:
        Ports(text)
    assert caught.value.field == "egress_ports"
    assert any(repr(part.strip()) in str(caught.value) for part in text.split(","))


@pytest.mark.parametrize(
    ("ports", "url", "problem"),
    [
        ("", "https://receiver.example:6379/", f"url: port 6379 (Redis) is not allowed; allowed are {BUILT_IN}"),
        ("", "https://receiver.example:22/", f"url: port 22 is not allowed; allowed are {BUILT_IN}"),
        (
            "443,9000-9100",
            "https://receiver.example:8443/",
            "url: port 8443 is not allowed; allowed are 443, 9000-9100",
        ),
        ("8443", "https://receiver.example/", "url: port 443 is not allowed; allowed are 8443"),
    ],
)
def test_a_refusal_at_registration_says_which_ports_are_allowed(ports: str, url: str, problem: str) -> None:
    """One line, before any look-up."""
    policy = EgressPolicy(ports=ports, lookup=_no_lookup)
    with pytest.raises(InvalidInputError) as caught:
        policy.check_url(url)
    assert str(caught.value) == problem


def test_each_attempt_checks_the_port_before_any_look_up() -> None:
    """An endpoint that was registered under other rules is refused like a new one, even on an allowed address."""
    policy = EgressPolicy(allow=["127.0.0.0/8"], lookup=_no_lookup)
    for url in ("https://receiver.example:5432/", "https://127.0.0.1:5432/"):
        with pytest.raises(AddressNotAllowedError, match=r"port 5432 \(PostgreSQL\) is not allowed"):
            policy.addresses(parse_url(url), timeout_s=1)


def test_loopback_by_http_is_under_the_same_ports() -> None:
    """The development switch opens loopback to receivers, not to the database beside them."""
    policy = EgressPolicy(allow_http_loopback=True, lookup=lambda _: ["127.0.0.1"])
    assert policy.check_url("http://localhost:8787/").port == 8787
    with pytest.raises(InvalidInputError, match="port 5432"):
        policy.check_url("http://localhost:5432/")


def _no_lookup(host: str) -> list[str]:
    raise AssertionError(host)
