"""Ids in the order of time, in Python and in the database alike."""

from __future__ import annotations

import time
from uuid import RFC_4122

from noteflow_hooks.domain.ids import ordered_id


def test_an_id_is_of_version_7_and_begins_with_its_moment() -> None:
    """In ms since 1970, as RFC 9562 says; the variant is the RFC's."""
    before = time.time_ns() // 1_000_000
    made = ordered_id()
    assert before <= made.int >> 80 <= time.time_ns() // 1_000_000
    assert (made.version, made.variant) == (7, RFC_4122)


def test_ids_of_one_moment_differ() -> None:
    """By 74 random bits."""
    assert len({ordered_id() for _ in range(10_000)}) == 10_000
