"""Endpoint URLs: what is written anew, and what is refused with which words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noteflow_hooks.domain import urls
from noteflow_hooks.domain.urls import URL_LIMIT, EndpointUrl, host_of, parse_url
from noteflow_hooks.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("url", "written"),
    [
        ("https://example.com", "https://example.com/"),
        ("HTTPS://Example.COM/Path", "https://example.com/Path"),
        ("https://example.com:443/", "https://example.com/"),
        ("https://example.com:/", "https://example.com/"),
        ("https://example.com:8443/", "https://example.com:8443/"),
        ("https://example.com:80/", "https://example.com:80/"),
        ("https://example.com./", "https://example.com./"),
        ("https://example.com?x=1", "https://example.com/?x=1"),
        ("https://example.com/a?b?c=/d&e=f", "https://example.com/a?b?c=/d&e=f"),
        ("https://example.com/a?", "https://example.com/a"),
        ("https://example.com//a/../b", "https://example.com//a/../b"),
        ("https://example.com/%2F%zz", "https://example.com/%2F%zz"),
        ("https://example.com/é?ü={}", "https://example.com/%C3%A9?%C3%BC=%7B%7D"),
        ("https://example.com/$%26'()*+,;=~-._:@!", "https://example.com/$%26'()*+,;=~-._:@!"),
        ("https://münchen.example/", "https://xn--mnchen-3ya.example/"),
        ("https://under_score.example/", "https://under_score.example/"),
        ("https://203.0.113.7/", "https://203.0.113.7/"),
        ("https://[2001:DB8::1]:8443/a", "https://[2001:db8::1]:8443/a"),
    ],
)
def test_a_url_is_written_anew_from_its_parts(url: str, written: str) -> None:
    """What is stored is what is sent to, whatever way it was given."""
    assert str(parse_url(url)) == written


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "must start with https"),
        ("example.com", "must start with https"),
        ("https://", "must name a host"),
        ("https:///path", "must name a host"),
        ("https://:443/", "must name a host"),
        ("http://example.com/", "must start with https://"),
        ("ftp://example.com/", "must start with https://"),
        ("//example.com/", "must start with https://"),
        ("https://user@example.com/", "user name or password"),
        ("https://:secret@example.com/", "user name or password"),
        ("https://@example.com/", "user name or password"),
        ("https://example.com/#part", "fragment"),
        ("https://example.com/#", "fragment"),
        ("https://example.com:0/", "from 1 to 65535"),
        ("https://example.com:65536/", "malformed"),
        ("https://example.com:port/", "malformed"),
        ("https://example.com:٣/", "malformed"),
        ("https://example.com:1:2/", "malformed"),
        ("https://exa mple.com/", "spaces"),
        ("https://example.com/a b", "spaces"),
        (" https://example.com/", "spaces"),
        ("https://example.com/\n", "control characters"),
        ("https://exam\tple.com/", "control characters"),
        ("https://example.com/\x7f", "control characters"),
        ("https://example.com/\u00a0", "spaces"),
        ("https://example.com/\u202e", "control characters"),
        ("https://exam\u200dple.com/", "control characters"),
        ("https://example.com\\@evil.example/", "backslashes"),
        ("https://example.com/\ud800", "control characters"),
        ("https://exa%6dple.com/", "must not contain %"),
        ("https://a..example/", "not valid"),
        ("https://./", "not valid"),
        ("https://-a.example/", "not valid"),
        ("https://a-.example/", "not valid"),
        ("https://a;b.example/", "not valid"),
        (f"https://{'a' * 64}.example/", "not valid"),
        (f"https://{'a.' * 127}example/", "not valid"),
        ("https://xn--/", "not valid"),
        ("https://faß.example/", "xn--"),
        ("https://FAẞ.example/", "xn--"),
        ("https://λόγος.example/", "xn--"),
        ("https://2130706433/", "four decimal numbers"),
        ("https://0x7f000001/", "four decimal numbers"),
        ("https://127.1/", "four decimal numbers"),
        ("https://127.0.0.01/", "four decimal numbers"),
        ("https://127.0.0.256/", "four decimal numbers"),
        ("https://1.2.3.4.5/", "four decimal numbers"),
        ("https://example.0x/", "four decimal numbers"),
        ("https://127.0.1./", "four decimal numbers"),
        ("https://[::1/", "malformed"),
        ("https://[fe80::1%25eth0]/", "must not contain %"),
        ("https://a[::1]/", "malformed|not valid"),
        ("https://[::1]a/", "malformed|between"),
        ("https://[::1]a:443/", "malformed|between"),
        ("https://[v1.x]/", "malformed|not valid"),
        ("https://[127.0.0.1]/", "malformed|not valid"),
    ],
)
def test_a_url_that_could_be_read_differently_is_refused(url: str, problem: str) -> None:
    """Each refusal is of the field ``url`` and says what is wrong."""
    with pytest.raises(InvalidInputError, match=problem) as caught:
        parse_url(url)
    assert caught.value.field == "url"


@pytest.mark.parametrize(
    ("url", "written"),
    [
        ("http://localhost/", "http://localhost/"),
        ("http://LocalHost:8000/x", "http://localhost:8000/x"),
        ("http://127.0.0.1:80/", "http://127.0.0.1/"),
        ("http://[::1]:9/", "http://[::1]:9/"),
        ("https://example.com/", "https://example.com/"),
    ],
)
def test_http_to_loopback_passes_where_it_is_allowed(url: str, written: str) -> None:
    """The development setting opens the three loopback names, and https stays open."""
    assert str(parse_url(url, allow_http_loopback=True)) == written


@pytest.mark.parametrize("url", ["http://localhost/", "http://127.0.0.1/", "http://[::1]/"])
def test_http_to_loopback_is_refused_by_default(url: str) -> None:
    """Without the setting there is https alone, and nothing is said of another way."""
    with pytest.raises(InvalidInputError, match=r"must start with https://$"):
        parse_url(url)


@pytest.mark.parametrize(
    "url",
    ["http://localhost.evil.example/", "http://127.0.0.2/", "http://[::2]/", "http://example.com/", "ftp://localhost/"],
)
def test_http_to_anything_else_is_refused_always(url: str) -> None:
    """The setting opens loopback and nothing that looks like it."""
    with pytest.raises(InvalidInputError, match=r"or http:// to localhost, 127\.0\.0\.1 or \[::1\]"):
        parse_url(url, allow_http_loopback=True)


def test_a_url_is_taken_apart() -> None:
    """The parts are what a connection needs: a host without brackets, a port, and what goes into the request line."""
    assert parse_url("https://[2001:db8::1]/in?a=1") == EndpointUrl("https", "2001:db8::1", 443, "/in?a=1")


def test_a_url_may_be_as_long_as_the_limit() -> None:
    """2,048 characters pass; one more does not."""
    longest = "https://example.com/".ljust(URL_LIMIT, "a")
    assert str(parse_url(longest)) == longest
    with pytest.raises(InvalidInputError, match="has 2049 characters; at most 2048"):
        parse_url(longest + "a")


def test_the_limit_counts_the_url_as_it_is_written() -> None:
    """Escapes count: what is stored must pass when it is read again for an attempt."""
    with pytest.raises(InvalidInputError, match="at most 2048"):
        parse_url("https://example.com/" + "é" * 400)


@settings(deadline=None)
@given(st.text(max_size=12), st.text(max_size=12), st.text(max_size=12))
def test_what_was_written_reads_back_as_itself(host: str, path: str, query: str) -> None:
    """Any URL is refused, or written in a form that is its own."""
    try:
        written = str(parse_url(f"https://{host}.example/{path}?{query}"))
    except InvalidInputError:
        return
    assert str(parse_url(written)) == written
    assert written.isascii()


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://h.example:8443/x?y", "h.example"),
        ("http://localhost/x", "localhost"),
        ("https://[", "-"),
        ("https://h.example/\r\nforged", "-"),
        ("http://h.example/", "-"),
        ("", "-"),
    ],
)
def test_logs_name_the_host_of_a_stored_url_and_nothing_of_one_that_is_none(url: str, host: str) -> None:
    """A row that was changed by hand breaks neither the line nor the worker."""
    assert host_of(url) == host


#: Parts of URLs of which most are plain, and some just aren't.
LABELS = st.sampled_from(
    ["a", "b-c", "0", "127", "255", "256", "01", "0x1f", "-a", "a-", "_", "é", "A", "", "x" * 63, "x" * 64]
)
HOSTS = st.one_of(
    st.lists(LABELS, min_size=1, max_size=5).map(".".join), st.sampled_from(["localhost", "127.0.0.1", "[::1]"])
)
PORTS = st.sampled_from(["", ":", ":0", ":1", ":80", ":443", ":08080", ":65535", ":65536", ":99999", ":x"])
TARGETS = st.text("a/?%:@!$&'()*+,;=~-._#\\[]{}\" é^|", max_size=8)


def parts(parse: Callable[..., EndpointUrl], url: str, *, allowed: bool) -> EndpointUrl | str:
    """Return the URL in parts, or why it is refused."""
    try:
        return parse(url, allow_http_loopback=allowed)
    except InvalidInputError as error:
        return str(error)


@settings(max_examples=500, derandomize=True, database=None, deadline=None)
@given(st.sampled_from(["https", "http", "ftp"]), HOSTS, PORTS, TARGETS, st.booleans())
def test_a_plain_url_ends_as_all_the_rules_say(scheme: str, host: str, port: str, target: str, allowed: bool) -> None:  # noqa: FBT001 - hypothesis gives it by position
    """The short way for what is plain takes nothing apart in another way, and lets nothing pass."""
    url = f"{scheme}://{host}{port}/{target}"
    assert parts(parse_url, url, allowed=allowed) == parts(urls._parsed, url, allowed=allowed)  # noqa: SLF001 - the long way
