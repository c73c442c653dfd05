"""The workers' hints: quick to put, sent in their order, and quiet about a Redis that is away."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from noteflow_hooks.concurrency.sender import BackgroundSender
from tests.support.waiting import until

if TYPE_CHECKING:
    import pytest


def _put(hinter: BackgroundSender, sent: list[str]) -> bool:
    hinter.put(lambda: sent.append("later"))
    return bool(sent)


def refuse() -> None:
    raise AttributeError("'NoneType' object has no attribute 'client'")


def test_hints_are_sent_in_their_order() -> None:
    """And those that wait when it is closed are sent before it ends."""
    hinter, sent = BackgroundSender(), list[int]()
    for number in range(50):
        hinter.put(lambda number=number: sent.append(number))  # type: ignore[misc]  # mypy knows no lambda's defaults
    hinter.close(timeout_s=30)
    assert sent == list(range(50))


def test_nobody_waits_for_a_redis_that_hangs() -> None:
    """Putting returns while the hint before it is stuck; so does closing, after a moment."""
    hinter, stuck, sent = BackgroundSender(), threading.Event(), list[str]()
    hinter.put(stuck.wait)
    hinter.put(lambda: sent.append("next"))
    hinter.close(timeout_s=0.05)
    assert sent == []
    stuck.set()
    until(lambda: sent == ["next"], what="the hint behind the stuck one")


def test_whatever_a_hint_raises_is_said_once_and_costs_the_others_behind_it(caplog: pytest.LogCaptureFixture) -> None:
    """Each would fail as slowly as the first. After a pause hints are sent again."""
    hinter, begun, sent = BackgroundSender(pause_s=0.2), threading.Event(), list[str]()

    def fail() -> None:
        assert begun.wait(10)
        refuse()

    with caplog.at_level(logging.WARNING, logger="noteflow_hooks.concurrency.sender"):
        hinter.put(fail)
        for _ in range(20):
            hinter.put(lambda: sent.append("behind"))
        begun.set()
        until(lambda: _put(hinter, sent), what="hints are sent again")
    assert set(sent) == {"later"}
    [line] = [each.getMessage() for each in caplog.records]
    assert "Redis takes no hints (AttributeError)" in line
    hinter.close()


def test_a_crowd_of_hints_keeps_its_newest() -> None:
    """Where a thousand wait, the oldest are left to the sweep."""
    hinter, begun, stuck, sent = BackgroundSender(), threading.Event(), threading.Event(), list[int]()

    def hang() -> None:
        begun.set()
        stuck.wait()

    hinter.put(hang)
    assert begun.wait(30)
    for number in range(1_500):
        hinter.put(lambda number=number: sent.append(number))  # type: ignore[misc]  # as above
    stuck.set()
    hinter.close(timeout_s=30)
    assert sent == list(range(500, 1_500))


def test_what_comes_after_its_end_is_left_to_the_sweep() -> None:
    """A closed one sends nothing, and starts no thread."""
    hinter, sent = BackgroundSender(), list[str]()
    hinter.close()
    hinter.put(lambda: sent.append("late"))
    assert sent == []
