"""What is kept of an answer that repeats its endpoint's credentials."""

from __future__ import annotations

import html
import json
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import pytest

from noteflow_hooks.executor.redaction import LONGEST, REDACTED, without_credentials
from noteflow_hooks.signing import generate_secret
from tests.support.builders import a_webhook
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
#: How answers repeat what they were sent.
WAYS: Final[dict[str, Callable[[str], str]]] = {
    "text": lambda text: text,
    "JSON": json.dumps,
    "JSON with escaped slashes": lambda text: json.dumps(text).replace("/", "\\/"),
    "HTML": html.escape,
    "URL": lambda text: quote(text, safe=""),
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
