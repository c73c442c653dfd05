"""What is kept of an answer that repeats its endpoint's credentials."""

from __future__ import annotations

import html
import json
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noteflow_hooks.domain.options import Format
from noteflow_hooks.executor.redaction import LONGEST, REDACTED, without_credentials
from noteflow_hooks.signing import generate_secret
from tests.support.builders import PRESET_URLS, a_preset, a_webhook
from tests.support.canary_secrets import CanarySecret, awkward, found, letters

if TYPE_CHECKING:
    from collections.abc import Callable

KEEP: Final = 4096
HEADER, SECRET, FORMER = awkward(), generate_secret(), awkward()
WEBHOOK = a_webhook(
    headers=(("Authorization", f"Bearer {HEADER}"), ("X-Short", "no")), secret=SECRET, previous_secret=FORMER
)
CANARIES = [
    CanarySecret.of("header", HEADER),
    CanarySecret.of("secret", SECRET),
    CanarySecret.of("former secret", FORMER),
]


def lower_escapes(text: str) -> str:
    """Quote as a URL does, with digits in lower case."""
    return re.sub("%..", lambda match: match[0].lower(), quote(text, safe=""))


def go_json(text: str) -> str:
    """Write JSON that may stand in HTML, as Go does."""
    return re.sub("[<>&]", lambda match: f"\\u{ord(match[0]):04x}", json.dumps(text))


def by_number(text: str, form: str, *, plain: str = "") -> str:
    """Write all but letters and digits, and what is in ``plain``, as their numbers."""
    return "".join(each if each.isalnum() or each in plain else form.format(ord(each)) for each in text)


#: How answers repeat what they were sent.
WAYS: Final[dict[str, Callable[[str], str]]] = {
    "text": lambda text: text,
    "JSON": json.dumps,
    "JSON with escaped slashes": lambda text: json.dumps(text).replace("/", "\\/"),
    "JSON as Go writes it": go_json,
    "JSON, all by number": lambda text: by_number(text, "\\u{:04x}"),
    "JSON, all by number in capitals": lambda text: by_number(text, "\\u{:04X}"),
    "JSON in JSON": lambda text: json.dumps(json.dumps(text)),
    "HTML": html.escape,
    "HTML by decimal number": lambda text: by_number(text, "&#{};"),
    "HTML by hex number": lambda text: by_number(text, "&#x{:X};"),
    "HTML by padded number": lambda text: by_number(text, "&#{:03};"),
    "HTML as Mustache writes it": lambda text: html.escape(text).replace("/", "&#x2F;").replace("=", "&#x3D;"),
    "HTML in JSON": lambda text: go_json(html.escape(text)),
    "URL": lambda text: quote(text, safe=""),
    "URL in lower case": lower_escapes,
    "a text of Python's": repr,
    "a text of Rust's": lambda text: by_number(text, "\\u{{{:x}}}"),
    "a text by bytes": lambda text: by_number(text, "\\x{:02x}"),
}
#: Those that put it between quotes, which are none of the value's.
QUOTING: Final = frozenset(
    {"JSON", "JSON with escaped slashes", "JSON as Go writes it", "JSON in JSON", "HTML in JSON", "a text of Python's"}
)
#: What answers complain of alone, by the header value that it is a part of.
PARTS: Final = {
    "the only cookie": ("session=abcdefgh12345678", "abcdefgh12345678"),
    "one of several cookies": ("theme=dark; session=abcdefgh12345678; lang=en", "abcdefgh12345678"),
    "a cookie in quotes": ('a=b; session="abcdefgh12345678"', "abcdefgh12345678"),
    "a cookie with an equals sign": ("session=abcdefgh==12345678", "abcdefgh==12345678"),
    "a cookie with a comma": ("session=abcdefgh,12345678", "abcdefgh,12345678"),
    "Rails' token": ('Token token="abcdefgh12345678"', "abcdefgh12345678"),
    "Rails' token with options": ('Token token="abcdefgh12345678", nonce="x"', "abcdefgh12345678"),
    "a token without quotes": ("Token token=abcdefgh12345678,nonce=x", "abcdefgh12345678"),
    "a user": ("Basic YWxhZGRpbi11c2VyOm9wZW4gc2VzYW1l", "aladdin-user"),
    "a password": ("Basic YWxhZGRpbi11c2VyOm9wZW4gc2VzYW1l", "open sesame"),
    "both": ("basic YWxhZGRpbi11c2VyOm9wZW4gc2VzYW1l", "aladdin-user:open sesame"),
    "a password with a colon": ("Basic dXNlcjpwYXNzOndvcmQxMjM=", "pass:word123"),
    "words of a form": ("Bearer one two three", "one+two+three"),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
@pytest.mark.parametrize("value", [f"Bearer {HEADER}", HEADER, SECRET, FORMER], ids=["header", "part", "new", "old"])
def test_no_credential_is_kept(value: str, way: Callable[[str], str]) -> None:
    """A mark stands in its place, and all around it stays as it was."""
    kept = without_credentials(f"[{way(value)}|{way(value)}]".encode(), WEBHOOK, keep=KEEP)
    assert found(CANARIES, kept) == set()
    assert kept.count(REDACTED) == 2
    assert kept.startswith(b"[")
    assert kept.endswith(b"]")


@pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
@pytest.mark.parametrize(("value", "part"), PARTS.values(), ids=list(PARTS))
def test_no_part_of_a_header_is_kept_that_is_a_credential_by_itself(
    value: str, part: str, way: Callable[[str], str]
) -> None:
    """A cookie's value, a scheme's parameter, and what Basic hides in base64."""
    kept = without_credentials(f"[{way(part)}]".encode(), a_webhook(headers=(("X-A", value),)), keep=KEEP)
    assert kept.strip(b"[]\"\\'") == REDACTED.strip(b"[]")


@pytest.mark.parametrize(
    "value", ["Basic ", "Basic !", "Basic YWJj", "Basic", "Token token=", 'a="', ";;;===", "=" * 50]
)
def test_a_value_with_no_parts_is_hidden_whole(value: str) -> None:
    """Whatever it looks like the beginning of."""
    webhook = a_webhook(headers=(("X-A", f"{value}~~~~~~~~"),))
    assert without_credentials(f"<{value}~~~~~~~~>".encode(), webhook, keep=KEEP) == b"<[redacted]>"


@settings(max_examples=400, derandomize=True, database=None, deadline=None)
@given(
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=8, max_size=60),
    st.sampled_from(list(WAYS)),
    st.binary(max_size=40),
)
def test_no_value_survives_in_any_way_of_writing_it(value: str, way: str, around: bytes) -> None:
    """Whatever visible characters it is made of, escapes of its own among them."""
    written = WAYS[way](value).encode()
    written = written[1:-1] if way in QUOTING else written
    kept = without_credentials(around + written + around, a_webhook(headers=(("X-A", value),)), keep=KEEP)
    assert written not in kept
    assert REDACTED in kept


def test_an_endpoint_with_more_credentials_than_can_be_looked_for_is_kept_nothing_of_a_long_answer() -> None:
    """Rather nothing than one of them; a short answer is looked through all the same."""
    cookies = [f"c{number}={letters(12)}" for number in range(400)]
    webhook = a_webhook(headers=(("Cookie", "; ".join(cookies[:200])), ("X-Cookie", "; ".join(cookies[200:]))))
    assert without_credentials(b"x" * KEEP, webhook, keep=KEEP) == REDACTED
    short = f"no such session: {cookies[250].partition('=')[2]}".encode()
    assert without_credentials(short, webhook, keep=KEEP) == b"no such session: " + REDACTED


def test_what_is_no_credential_is_kept_as_it_came() -> None:
    """Neither a signature nor a value too short to be told from other words is taken out."""
    body = b'{"X-NoteFlow-Signature":"sha256=0f","X-Short":"no","note":"\xff\x00"}'
    assert without_credentials(body, WEBHOOK, keep=KEEP) == body
    assert without_credentials(body, a_webhook(), keep=KEEP) == body
    assert without_credentials(b"x" * 5000, WEBHOOK, keep=KEEP) == b"x" * KEEP


@pytest.mark.parametrize("length", [7, 8])
def test_the_shortest_that_is_taken_out_has_eight_characters(length: int) -> None:
    """A word of seven stands in other texts by chance."""
    value = letters(length)
    kept = without_credentials(f"it was {value}".encode(), a_webhook(headers=(("X-A", value),)), keep=KEEP)
    assert (value.encode() in kept) == (length == 7)


@pytest.mark.parametrize("before", [*range(KEEP - 60, KEEP, 7), KEEP - 1, KEEP, KEEP + 20])
def test_a_credential_at_the_end_of_what_is_kept_is_not_kept_in_part(before: int) -> None:
    """Wherever the cut falls, no piece of it stays, nor of one that moves up as others get shorter."""
    body = SECRET.encode() * 3 + b"x" * (before - 3 * len(SECRET)) + HEADER.encode() + b"y" * LONGEST
    kept = without_credentials(body, WEBHOOK, keep=KEEP)
    assert found(CANARIES, kept) == set()
    assert HEADER[:8].encode() not in kept
    assert len(kept) <= KEEP


def test_the_longest_value_is_found_behind_all_that_is_kept() -> None:
    """In the form that takes most room, begun at the last byte that is kept."""
    value = '"' * 4096
    body = b"x" * (KEEP - 1) + html.escape(value).encode()
    assert len(body) <= KEEP + LONGEST
    kept = without_credentials(body[: KEEP + LONGEST], a_webhook(headers=(("X-A", value),)), keep=KEEP)
    assert kept == b"x" * (KEEP - 1) + REDACTED[:1]


@pytest.mark.parametrize("form", PRESET_URLS)
@pytest.mark.parametrize("way", WAYS)
def test_a_chat_s_url_is_no_more_kept_than_a_header(form: Format, way: str) -> None:
    """Whole, its path and query, and each part by itself, however the answer writes it."""
    url = PRESET_URLS[form]
    parts = [each for each in re.split("[/?&=]", url.partition("://")[2]) if "canary" in each.lower()]
    assert parts
    for text in (url, url.partition("://")[2], *parts):
        kept = without_credentials(WAYS[way](f"no {text} here").encode(), a_preset(form), keep=KEEP)
        assert found([CanarySecret.of(part, part) for part in parts if len(part) >= 10], kept) == set()


def test_words_of_a_vendor_s_path_are_kept() -> None:
    """They are in everybody's URL, and in many answers."""
    kept = without_credentials(b"services webhooks workflows powerautomate", a_preset(Format.TEAMS), keep=KEEP)
    assert kept == b"services webhooks workflows powerautomate"
