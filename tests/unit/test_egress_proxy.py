"""The operator's proxy: how it is named, and what is still checked here; and what only an operator is told."""

from __future__ import annotations

import base64
import logging

import pytest

from noteflow_hooks import bootstrap
from noteflow_hooks.domain.urls import parse_url
from noteflow_hooks.egress import EgressPolicy, EgressProxy
from noteflow_hooks.egress.proxy import parse_proxy
from noteflow_hooks.errors import InvalidInputError
from noteflow_hooks.settings import Settings


def basic(credentials: bytes) -> str:
    """Return what RFC 7617 makes of ``name:password``."""
    return "Basic " + base64.b64encode(credentials).decode()


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("http://proxy.internal:3128", EgressProxy("proxy.internal", 3128)),
        ("http://10.0.0.9:80/", EgressProxy("10.0.0.9", 80)),
        ("http://[fd00::9]:3128", EgressProxy("fd00::9", 3128)),
        ("http://ada:lovelace@proxy:3128", EgressProxy("proxy", 3128, basic(b"ada:lovelace"))),
        ("http://ada:p%40ss%3A%2F%C3%BC@proxy:3128", EgressProxy("proxy", 3128, basic("ada:p@ss:/ü".encode()))),
        ("http://ada:p%0d%0aX@proxy:3128", EgressProxy("proxy", 3128, basic(b"ada:p\r\nX"))),
        ("http://ada@proxy:3128", EgressProxy("proxy", 3128, basic(b"ada:"))),
    ],
)
def test_a_proxy_is_named_by_a_url(url: str, proxy: EgressProxy) -> None:
    """Name and password are unescaped, and become one header's value that no byte of theirs can break out of."""
    assert parse_proxy(url) == proxy


@pytest.mark.parametrize(
    "url",
    [
        *("", "proxy:3128", "proxy", "https://proxy:3128", "socks5://proxy:1080", "http://proxy", "http://:3128"),
        *("http://proxy:0", "http://proxy:65536", "http://proxy:port", "http://proxy:3128/path", "http://proxy:3128?a"),
        *("http://proxy:3128#x", "http://[::1:3128", "http://pro xy:3128", "http://prox\u00fd:3128"),
        *("http://proxy:3128\n", "http://ada%3Aeve:canary@proxy:3128", "http://canary:canary@proxy"),
    ],
)
def test_what_is_no_proxys_url_is_refused_without_repeating_it(url: str) -> None:
    """It may hold a password, so the message says what is wrong and not what is there."""
    with pytest.raises(InvalidInputError) as caught:
        parse_proxy(url)
    assert caught.value.field == "egress_proxy"
    assert str(caught.value).startswith("egress_proxy: must ")
    assert "canary" not in str(caught.value)


def test_the_password_is_in_no_repr() -> None:
    """Neither a proxy nor the settings show it in a traceback."""
    url = "http://ada:canary@proxy:3128"
    settings = Settings(_env_file=None, egress_proxy=url)
    assert "canary" not in repr(settings)
    shown = repr(parse_proxy(url))
    assert "canary" not in shown
    assert basic(b"ada:canary") not in shown


def test_the_settings_lead_to_the_rules() -> None:
    """Both settings reach the policy that the server and the workers are given."""
    settings = Settings(_env_file=None, egress_ports="8443", egress_proxy="http://ada:lovelace@proxy:3128")
    policy = bootstrap.egress_policy(settings)
    url = policy.check_url("https://not-there-at-all.invalid:8443/")
    assert policy.proxy_for(url) == EgressProxy("proxy", 3128, basic(b"ada:lovelace"))
    with pytest.raises(InvalidInputError, match="allowed are 8443"):
        policy.check_url("https://receiver.example/")
    assert bootstrap.egress_policy(Settings(_env_file=None)).proxy_for(url) is None


def test_behind_a_proxy_a_registration_looks_nothing_up() -> None:
    """The name is the proxy's to look up: a network with a proxy often has no name server for what is outside."""
    policy = EgressPolicy(proxy=EgressProxy("proxy", 3128), lookup=_no_lookup)
    assert policy.check_url("https://receiver.example/hooks").host == "receiver.example"


@pytest.mark.parametrize(
    "url",
    [
        "https://10.0.0.1/",
        "https://127.0.0.1/",
        "https://[fd00::1]/",
        "https://168.63.129.16/",
        "https://localhost/",
        "https://localhost./",
        "https://LOCALHOST:8443/",
        "https://a.localhost/",
        "https://receiver.example:5432/",
    ],
)
def test_behind_a_proxy_what_needs_no_look_up_is_refused(url: str) -> None:
    """Literal addresses, loopback's own names, and ports, by the same rules as without one."""
    policy = EgressPolicy(proxy=EgressProxy("proxy", 3128), lookup=_no_lookup)
    with pytest.raises(InvalidInputError, match="not allowed"):
        policy.check_url(url)


def test_behind_a_proxy_the_operators_networks_count_for_literals() -> None:
    """Allow opens, and deny closes, what the URL names by number."""
    policy = EgressPolicy(
        allow=["10.0.0.0/8"], deny=["1.1.1.0/24"], proxy=EgressProxy("proxy", 3128), lookup=_no_lookup
    )
    assert policy.check_url("https://10.0.0.1/").host == "10.0.0.1"
    with pytest.raises(InvalidInputError, match="not allowed"):
        policy.check_url("https://1.1.1.1/")


def test_plain_http_has_no_proxy() -> None:
    """It reaches loopback alone, which is this machine's and not the proxy's."""
    policy = EgressPolicy(proxy=EgressProxy("proxy", 3128), allow_http_loopback=True, lookup=lambda _: ["10.0.0.1"])
    assert policy.proxy_for(parse_url("http://localhost/", allow_http_loopback=True)) is None
    with pytest.raises(InvalidInputError, match="not allowed"):
        policy.check_url("http://localhost/")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://inside.example/", "10.0.0.1 is not public, and needs NOTEFLOW_HOOKS_EGRESS_ALLOW to allow it"),
        ("https://8.8.8.8/", "8.8.8.8 is in NOTEFLOW_HOOKS_EGRESS_DENY"),
        ("https://inside.example:22/", "port 22 needs NOTEFLOW_HOOKS_EGRESS_PORTS to allow it"),
    ],
)
def test_the_log_says_what_would_allow_a_refused_registration(
    url: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The operator reads host, address and setting; the tenant's answer has no address, and no path is logged."""
    policy = EgressPolicy(deny=["8.8.8.0/24"], lookup=lambda _: ["1.1.1.1", "10.0.0.1"])
    with pytest.raises(InvalidInputError) as caught:
        policy.check_url(f"{url}private?private")
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    host = parse_url(url).host
    assert record.getMessage() == f"an endpoint at {host} was refused: {reason}"
    assert "10.0.0.1" not in str(caught.value)
    assert "NOTEFLOW" not in str(caught.value)


def _no_lookup(host: str) -> list[str]:
    raise AssertionError(host)
