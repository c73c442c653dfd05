"""Retries of many tasks that come due together leave in a few messages, none of them late."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

from noteflow_hooks.delivery.retries import GatheredRetries

if TYPE_CHECKING:
    from uuid import UUID


class Messages:
    """What is sent, by a clock that stands still."""

    def __init__(self, *, most: int = 50) -> None:
        self.sent: list[tuple[list[UUID], timedelta]] = []
        self.retries = GatheredRetries(
            lambda ids, delay: self.sent.append((ids, delay)), most=most, monotonic=lambda: 5.0
        )

    def put(self, count: int, *, ms: int) -> list[UUID]:
        ids = [uuid4() for _ in range(count)]
        self.retries.put(ids, delay=timedelta(milliseconds=ms))
        return ids


def test_what_comes_due_together_goes_in_one_message() -> None:
    """Of whichever tasks, when the last of them is due; what comes due at another time has a message of its own."""
    messages = Messages()
    first, second, later = messages.put(2, ms=1_000), messages.put(1, ms=1_150), messages.put(1, ms=2_000)
    messages.retries.close()
    assert [(set(ids), delay) for ids, delay in messages.sent] == [
        (set(later), timedelta(seconds=2)),
        ({*first, *second}, timedelta(seconds=1.15)),
    ]


def test_a_message_names_no_more_than_it_may() -> None:
    """As many as a task takes at once."""
    messages = Messages(most=3)
    ids = [each for _ in range(4) for each in messages.put(2, ms=1_000)]
    messages.retries.close()
    assert [len(each) for each, _ in messages.sent] == [3, 3, 2]
    assert {each for named, _ in messages.sent for each in named} == set(ids)


def test_what_is_due_soon_is_not_gathered() -> None:
    """It leaves at once."""
    messages = Messages()
    ids = messages.put(1, ms=20)
    assert messages.sent == [(ids, timedelta(milliseconds=20))]
