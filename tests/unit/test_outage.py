"""What is told of a server that refuses: why, once; a count each minute; and its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from noteflow_hooks.concurrency.outage import COUNTED_S, QUIET_S, Outage

if TYPE_CHECKING:
    from collections.abc import Sequence


class Told:
    """An outage whose clock stands still, and what was logged of it."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self.now = 1000.0
        self.outage = Outage("the database", safe="nothing is lost", monotonic=lambda: self.now)
        self._caplog = caplog
        caplog.set_level("WARNING", logger="noteflow_hooks.concurrency.outage")

    @property
    def lines(self) -> Sequence[str]:
        return [record.getMessage() for record in self._caplog.records]


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Told:
    return Told(caplog)


def test_the_reason_is_told_once(told: Told) -> None:
    """With its first line alone: what follows may repeat rows."""
    for _ in range(100):
        told.outage.refused('password authentication failed for user "u"\nDETAIL: canary')
    assert told.lines == ['the database refuses: password authentication failed for user "u"; nothing is lost']


def test_then_a_count_comes_each_minute(told: Told) -> None:
    """How often it was refused since the last line, for how long by now, and why at last."""
    for second in range(int(2 * COUNTED_S) + 1):
        told.now = 1000.0 + second
        told.outage.refused("full" if second > COUNTED_S else "gone")
    assert told.lines[1:] == [
        "the database has refused 61 times in the last minute, for 60 s now: gone",
        "the database has refused 60 times in the last minute, for 120 s now: full",
    ]


def test_its_end_is_told_once_nothing_was_refused_for_a_while(told: Told) -> None:
    """A server whose disk is full answers who only reads; that is no end."""
    told.outage.refused("disk full")
    told.outage.answered()
    told.now += 20
    told.outage.refused("disk full")
    told.outage.answered()
    assert len(told.lines) == 1
    assert told.outage.lasts_s() == 20
    told.now += QUIET_S
    told.outage.answered()
    told.outage.answered()
    assert told.lines[1:] == ["the database answers again, after 2 refusals in 20 s"]
    assert told.outage.since is None


def test_the_next_outage_is_told_anew(told: Told) -> None:
    """With its own reason."""
    told.outage.refused("gone")
    told.now += QUIET_S
    told.outage.answered()
    told.outage.refused("too many connections")
    assert told.lines[-1] == "the database refuses: too many connections; nothing is lost"
