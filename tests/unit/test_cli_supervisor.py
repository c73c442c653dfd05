"""What dies is started again, with growing patience, and given up when it keeps dying."""

from __future__ import annotations

import logging

import pytest

from noteflow_hooks.local.servers import EmbeddedServerError
from noteflow_hooks.local.stack.supervisor import Watch, keep_running


class Part:
    """A process that lives and dies as the test says."""

    name = "worker-1"
    fate = "ended with status 1"

    def __init__(self) -> None:
        self.pid: int | None = 1
        self.starts = 0
        self.can_start = True

    def start(self) -> None:
        """Live again, where that is possible."""
        self.starts += 1
        if not self.can_start:
            raise EmbeddedServerError("no room")
        self.pid = self.starts + 1

    def error(self, problem: str) -> EmbeddedServerError:
        """Say so."""
        return EmbeddedServerError(f"{self.name} {problem}; its last words")


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def looks_until_started(watch: Watch, part: Part, clock: Clock) -> float:
    """Kill the part, look until it has been started again, and return how long that took."""
    part.pid, starts, killed_at = None, part.starts, clock.now
    while part.starts == starts:
        watch.look()
        clock.now += 0.1
    return clock.now - killed_at


def test_a_living_part_is_left_alone() -> None:
    """However often one looks."""
    part = Part()
    watch = Watch(part)
    for _ in range(10):
        watch.look()
    assert part.starts == 0


def test_a_part_that_died_is_started_again_at_once(caplog: pytest.LogCaptureFixture) -> None:
    """And a line says so, with how it ended."""
    part, clock = Part(), Clock()
    with caplog.at_level(logging.WARNING):
        assert looks_until_started(Watch(part, clock=clock), part, clock) < 0.5
    assert caplog.messages == ["worker-1 ended with status 1; it is started again in 0 s"]


def test_each_start_again_waits_longer() -> None:
    """So that what can't run leaves the machine to others."""
    part, clock = Part(), Clock()
    watch = Watch(part, clock=clock)
    waits = [looks_until_started(watch, part, clock) for _ in range(5)]
    assert waits == sorted(waits)
    assert waits[-1] > 4


def test_a_part_that_keeps_dying_is_given_up_with_its_last_words() -> None:
    """After five starts."""
    part, clock = Part(), Clock()
    watch = Watch(part, clock=clock)
    for _ in range(5):
        looks_until_started(watch, part, clock)
    part.pid = None
    with pytest.raises(EmbeddedServerError, match="worker-1 ended with status 1 6 times in a row; its last words"):
        watch.look()


def test_deaths_far_apart_are_not_counted_together() -> None:
    """A part that was well for ten seconds is trusted again."""
    part, clock = Part(), Clock()
    watch = Watch(part, clock=clock)
    for _ in range(20):
        clock.now += 60
        assert looks_until_started(watch, part, clock) < 0.5


def test_a_start_that_fails_counts_as_a_death() -> None:
    """A database that can't be started is tried again, and given up in the end."""
    part, clock = Part(), Clock()
    part.can_start, part.pid = False, None
    watch = Watch(part, clock=clock)

    def look_on() -> None:
        while True:
            watch.look()
            clock.now += 0.1

    with pytest.raises(EmbeddedServerError, match="6 times in a row"):
        look_on()
    assert part.starts == 5


def test_the_watch_ends_when_it_is_told_to() -> None:
    """Asked before each round."""
    part, rounds = Part(), iter([False, True])
    part.pid = None
    keep_running([part], ended=lambda: next(rounds), look_every_s=0)
    assert part.starts == 0
