"""Retries of many tasks that come due together leave in a few messages, none of them late."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

from noteflow_hooks.delivery.retries import GatheredRetries
from tests.support.waiting import until

if TYPE_CHECKING:
    from uuid import UUID


class Messages:
    """What is sent, by a clock that the test moves."""

    def __init__(self, *, most: int = 50) -> None:
        self.now = 5.0
        self.sent: list[tuple[list[UUID], timedelta]] = []
        self.retries = GatheredRetries(
            lambda ids, delay: self.sent.append((ids, delay)), most=most, monotonic=lambda: self.now
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


def test_what_fails_later_and_comes_due_at_the_same_time_goes_with_it() -> None:
    """The message leaves shortly before they are due, and what is due later waits for its own."""
    messages = Messages()
    first, later = messages.put(1, ms=2_000), messages.put(1, ms=3_000)
    messages.now += 1
    second = messages.put(1, ms=1_150)
    messages.now += 0.85
    until(lambda: messages.sent, what="a message leaves")
    [(ids, delay)] = messages.sent
    assert set(ids) == {*first, *second}
    assert timedelta(seconds=0.2) < delay <= timedelta(seconds=0.31)
    messages.retries.close()
    assert [set(named) for named, _ in messages.sent[1:]] == [set(later)]


def test_a_long_wait_is_gathered_for_a_short_while_only() -> None:
    """Then it waits as a message does, which a worker that ends gives back."""
    messages = Messages()
    ids = messages.put(1, ms=60_000)
    messages.now += 2.1
    until(lambda: messages.sent, what="a message leaves")
    [(named, delay)] = messages.sent
    assert (named, delay > timedelta(seconds=57)) == (ids, True)
