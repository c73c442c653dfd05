"""What is kept of an answer or an error: text that PostgreSQL takes, a wait that makes sense, a kind and a message."""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime, timedelta

import pytest

from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.executor.http.faults import from_network
from noteflow_hooks.executor.outcome import parse_retry_after, storable

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        ("120.5", 120.5),
        ("120.", 120),
        ("Sat, 31 Jan 2026 12:02:00 GMT", 120),
        ("Saturday, 31-Jan-26 12:02:00 GMT", 120),
        ("Sat, 31 Jan 2026 12:02:00 -0000", 120),
        ("Sat, 31 Jan 2026 13:02:00 +0100", 120),
        ("Sat, 31 Jan 2026 11:00:00 GMT", 0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float) -> None:
    """Both forms give the wait from now; a date in the past gives none."""
    assert parse_retry_after(value, now=NOON) == timedelta(seconds=seconds)


@pytest.mark.parametrize("value", ["86400", "86401", "9" * 400, "9" * 5000, " 99999999999999 "])
def test_retry_after_beyond_a_day_is_a_day(value: str) -> None:
    """The longest wait that a receiver may ask for."""
    assert parse_retry_after(value, now=NOON) == timedelta(days=1)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "-1",
        "+1",
        "1e99",
        "nan",
        "inf",
        "soon",
        "1 2",
        "0x10",
        "\u0661",
        "Sat, 99 Jan 2026",
        "\x00",
    ],
)
def test_retry_after_that_makes_no_sense_is_none(value: str) -> None:
    """Junk, negative and endless waits are no waits, and no error."""
    assert parse_retry_after(value, now=NOON) is None


def test_no_retry_after_is_none() -> None:
    """Most answers have none."""
    assert parse_retry_after(None, now=NOON) is None


def test_retry_after_takes_the_last_year_there_is() -> None:
    """A date that far is a date; the retry policy caps the wait."""
    wait = parse_retry_after("Fri, 31 Dec 9999 23:59:59 GMT", now=NOON)
    assert wait is not None
    assert wait > timedelta(days=365_000)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", ""),
        (b"ok", "ok"),
        ("Grüße ✓ 😀".encode(), "Grüße ✓ 😀"),
        (b"a\x00b", "a\ufffdb"),
        (b"a\xffb", "a\ufffdb"),
        (b"cut\xe2\x9c", "cut\ufffd"),
        (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd"),
        (b"x" * 5000, "x" * 4096),
        (b"x" * 4095 + "✓".encode()[:1], "x" * 4095),
        (b"x" * 4094 + b"\0\0", "x" * 4094),
    ],
)
def test_a_body_becomes_text_that_can_be_stored(body: bytes, text: str) -> None:
    """Valid UTF-8 without NUL, at most 4,096 bytes of it, cut between characters."""
    assert storable(body) == text


def test_no_body_grows_beyond_what_is_kept() -> None:
    """Replacements are longer than what they replace, and are cut again."""
    for byte in (b"\0", b"\xff", b"\xe2\x9c"):
        assert len(storable((byte * 4096)[:4096]).encode()) <= 4096


def test_a_timeout_of_ours_is_told_from_the_kernels() -> None:
    """The socket's own timeout is the deadline's; ETIMEDOUT is what the network reports."""
    assert from_network(TimeoutError("timed out")).kind is ErrorKind.TIMEOUT
    reported = from_network(TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)))
    assert (reported.kind, reported.message) == (ErrorKind.CONNECT, "Connection timed out")
