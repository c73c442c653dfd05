"""Which addresses may be dialled, by the built-in rules and the operator's."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from noteflow_hooks.egress import EgressPolicy, Resolver
from noteflow_hooks.errors import InvalidInputError
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Sequence

# ruff: noqa: SIM905 - tables of a hundred words are read as words
ALLOWED = """
    1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.1 151.101.1.140
    168.63.129.15 168.63.129.17 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 191.255.255.255 192.0.1.0
    192.0.3.0 192.31.195.255 192.31.197.0 192.52.192.255 192.52.194.0 192.88.98.255 192.88.100.0 192.167.255.255
    192.169.0.0 192.175.47.255 192.175.49.0 198.17.255.255 198.20.0.0 198.51.99.255 198.51.101.0 203.0.112.255
    203.0.114.0 223.255.255.255 2000:: 2001:200:: 2001:4860:4860::8888 2003:: 2606:4700:4700::1111 2a00:1450:4001::1
    2620:4f:7fff:ffff::1 2620:4f:8001:: 3ffe:ffff::1 3fff:1000:: ::ffff:1.1.1.1 ::ffff:808:808
""".split()

FORBIDDEN = """
    0.0.0.0 0.0.0.1 0.255.255.255 10.0.0.0 10.0.0.1 10.255.255.255 100.64.0.0 100.100.100.200 100.127.255.255
    127.0.0.0 127.0.0.1 127.1.2.3 127.255.255.255 168.63.129.16 169.254.0.0 169.254.169.254 169.254.170.2
    169.254.255.255 172.16.0.0 172.17.0.1 172.31.255.255 192.0.0.0 192.0.0.8 192.0.0.170 192.0.0.192 192.0.0.255
    192.0.2.1 192.31.196.1 192.52.193.1 192.88.99.1 192.168.0.0 192.168.1.1 192.168.255.255 192.175.48.1 198.18.0.0
    198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 224.0.0.251 232.1.1.1 239.255.255.250 240.0.0.1
    254.254.254.254 255.255.255.255
    :: ::1 ::2 ::7f00:1 ::127.0.0.1 ::169.254.169.254 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254
    ::ffff:0:127.0.0.1 ::ffff:0:0 64:ff9b::1.1.1.1 64:ff9b::7f00:1 64:ff9b:1::1 100:: 100:0:0:1::1 1fff:ffff::1
    2001:: 2001::1 2001:0:1::1 2001:2::1 2001:10::1 2001:20::1 2001:30::1 2001:1ff:ffff::1 2001:db8::1
    2001:db8:ffff::1 2002:: 2002:7f00:1::1 2002:a00:1::1 2620:4f:8000::1 3fff::1 3fff:fff::1 4000::1 5f00::1
    8000::1 fc00::1 fd00::1 fd00:ec2::254 fdff:ffff::1 fe80::1 fe80::1%1 febf::1 fec0::1 feff::1 ff00::1 ff02::1
    ff0e::1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff
""".split()


@pytest.mark.parametrize("address", ALLOWED)
def test_public_addresses_are_allowed(address: str) -> None:
    """What is handed out to the public internet may be dialled, right up to the borders of what is not."""
    assert EgressPolicy().permits(address)


@pytest.mark.parametrize("address", FORBIDDEN)
def test_all_other_addresses_are_forbidden(address: str) -> None:
    """Private, local, reserved, translated and documentation addresses may not be dialled, in whatever notation."""
    assert not EgressPolicy().permits(address)


@pytest.mark.parametrize("text", ["", "localhost", "127.1", "0x7f.0.0.1", "1.1.1.1/32", "2130706433"])
def test_what_is_no_address_is_forbidden(text: str) -> None:
    """Nothing is guessed."""
    assert not EgressPolicy().permits(text)


def test_denials_beat_permissions_and_permissions_the_table() -> None:
    """Deny beats allow, and allow beats the built-in rules, for mapped addresses too."""
    policy = EgressPolicy(allow=["10.0.0.0/8", "fd00::/8"], deny=["10.1.0.0/16", "8.8.8.8", "2606:4700::/32"])
    assert policy.permits("10.2.0.1")
    assert policy.permits("::ffff:10.2.0.1")
    assert policy.permits("fd00::1")
    assert not policy.permits("10.1.0.1")
    assert not policy.permits("::ffff:10.1.0.1")
    assert not policy.permits("8.8.8.8")
    assert not policy.permits("2606:4700::1")
    assert policy.permits("8.8.4.4")


@pytest.mark.parametrize(
    "text", ["10.0.0.1/8", "10.0.0.0/33", "example.com", "", "10.0.0.0-10.0.0.9", "::ffff:10.0.0.0/104"]
)
def test_a_network_that_is_none_is_named(text: str) -> None:
    """A mistake in the lists stops the start and says which one it is."""
    with pytest.raises(InvalidInputError) as caught:
        EgressPolicy(deny=["10.0.0.0/8", text])
    assert caught.value.field == "egress_deny"
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("url", "resolved"),
    [
        ("https://example.com/", ["93.184.215.14"]),
        ("https://1.1.1.1/", []),
        ("https://[2606:4700::1]/", []),
        ("https://not-there-yet.example/", []),
    ],
)
def test_an_endpoint_that_may_be_reached_can_be_registered(url: str, resolved: list[str]) -> None:
    """A public address, a name that has one, and a name that has none yet are let pass."""
    assert str(EgressPolicy(lookup=lambda _: resolved).check_url(url)) == url


@pytest.mark.parametrize(
    ("url", "resolved"),
    [
        ("https://127.0.0.1/", []),
        ("https://[::1]/", []),
        ("https://[::ffff:10.0.0.1]/", []),
        ("https://localhost/", ["127.0.0.1"]),
        ("https://inside.example/", ["10.0.0.1"]),
        ("https://both.example/", ["1.1.1.1", "169.254.169.254"]),
    ],
)
def test_an_endpoint_that_may_not_be_reached_is_refused_at_once(url: str, resolved: list[str]) -> None:
    """The refusal names the field, and not the address."""
    with pytest.raises(InvalidInputError) as caught:
        EgressPolicy(lookup=lambda _: resolved).check_url(url)
    told = "url: address not allowed: it must be public, or one that the operator allows"
    assert str(caught.value) == told


def test_a_malformed_url_is_refused_before_any_look_up() -> None:
    """The strict parser comes first."""

    def lookup(host: str) -> Sequence[str]:
        raise AssertionError(host)

    with pytest.raises(InvalidInputError, match="https"):
        EgressPolicy(lookup=lookup).check_url("http://example.com/")


def test_loopback_by_http_can_be_registered_only_while_that_is_switched_on() -> None:
    """The switch is about http and loopback's own names, no others."""
    policy = EgressPolicy(allow_http_loopback=True, lookup=lambda _: ["127.0.0.1"])
    assert policy.check_url("http://localhost:8080/hooks").port == 8080
    with pytest.raises(InvalidInputError, match="not allowed"):
        policy.check_url("https://localhost:8080/hooks")
    with pytest.raises(InvalidInputError, match="https"):
        EgressPolicy().check_url("http://localhost:8080/hooks")


def test_a_name_server_that_fails_does_not_stop_a_registration() -> None:
    """A name that can't be looked up now is checked again at every attempt."""

    def lookup(_host: str) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    assert EgressPolicy(lookup=lookup).check_url("https://example.com/").host == "example.com"


def test_simultaneous_look_ups_of_a_name_are_one() -> None:
    """A burst to one endpoint asks its name server once, and whoever still waits gets the answer."""
    asked: list[str] = []
    is_asked, may_answer = threading.Event(), threading.Event()

    def lookup(host: str) -> Sequence[str]:
        asked.append(host)
        is_asked.set()
        may_answer.wait(PATIENCE_S)
        return ["1.1.1.1"]

    resolver = Resolver(lookup)
    with ThreadPoolExecutor(1) as threads:
        patient = threads.submit(resolver.resolve, "example.com", timeout_s=PATIENCE_S)
        assert is_asked.wait(PATIENCE_S)
        for _ in range(4):
            with pytest.raises(TimeoutError):
                resolver.resolve("example.com", timeout_s=0.01)
        may_answer.set()
        assert [str(each) for each in patient.result()] == ["1.1.1.1"]
    assert asked == ["example.com"]


def test_look_ups_are_bounded_and_those_left_behind_count() -> None:
    """While silent name servers hold all the places, another look-up ends with its own time, and works again later."""
    name_server_answers = threading.Event()

    def lookup(host: str) -> Sequence[str]:
        if host.startswith("silent"):
            name_server_answers.wait(PATIENCE_S)
        return ["1.1.1.1"]

    resolver = Resolver(lookup, limit=2)
    for host in ("silent-1.example", "silent-2.example", "example.com"):
        with pytest.raises(TimeoutError):
            resolver.resolve(host, timeout_s=0.05)
    name_server_answers.set()
    assert [str(each) for each in resolver.resolve("example.com", timeout_s=PATIENCE_S)] == ["1.1.1.1"]
