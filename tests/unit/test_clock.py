"""The look at the two clocks: what is said of them, and how often."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

import pytest

from noteflow_hooks.maintenance.clock import ClockWatch
from tests.support.builders import NOON


class Clocks:
    """The store's clock at noon, the worker's so far off, and a look-up that takes its time."""

    def __init__(self) -> None:
        self.skew = timedelta(0)
        self.takes = timedelta(0)
        self._looked = 0
        self.watch = ClockWatch(lambda: NOON, now=self._now)

    def look(self, *, skew_s: float, takes_s: float = 0) -> None:
        self.skew, self.takes, self._looked = timedelta(seconds=skew_s), timedelta(seconds=takes_s), 0
        self.watch.check()

    def _now(self) -> datetime:
        self._looked += 1
        # Before and after the look at the store's clock.
        return NOON + self.skew + self.takes * (-0.5 if self._looked == 1 else 0.5)


@pytest.fixture
def clocks(caplog: pytest.LogCaptureFixture) -> Clocks:
    caplog.set_level(logging.INFO, logger="noteflow_hooks.maintenance.clock")
    return Clocks()


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Return what was logged since the last look, and forget it."""
    lines = [(each.levelname, each.getMessage()) for each in caplog.records]
    caplog.clear()
    return lines


@pytest.mark.parametrize(("skew_s", "words"), [(45, "45 s ahead of"), (-600, "600 s behind")])
def test_a_clock_that_is_off_is_told_of_once(
    clocks: Clocks, caplog: pytest.LogCaptureFixture, skew_s: float, words: str
) -> None:
    """The warning names the skew and its direction, and is not repeated at each look."""
    clocks.look(skew_s=skew_s)
    [(level, message)] = said(caplog)
    assert level == "WARNING"
    assert f"clock is {words} the database's" in message
    for change_s in (0, 1, -1, 29):
        clocks.look(skew_s=skew_s + change_s)
    assert said(caplog) == []


def test_a_clock_that_goes_further_off_is_told_of_again(clocks: Clocks, caplog: pytest.LogCaptureFixture) -> None:
    """A skew that has changed by more than the limit is news."""
    for skew_s in (40, 71, -40):
        clocks.look(skew_s=skew_s)
    assert [level for level, _ in said(caplog)] == ["WARNING"] * 3


def test_a_clock_that_is_right_again_is_told_of_once(clocks: Clocks, caplog: pytest.LogCaptureFixture) -> None:
    """And a later skew is a new one."""
    for skew_s in (40, 0, 0, 40):
        clocks.look(skew_s=skew_s)
    assert [level for level, _ in said(caplog)] == ["WARNING", "INFO", "WARNING"]


@pytest.mark.parametrize("skew_s", [0, 30, -30])
def test_a_clock_that_is_nearly_right_is_not_told_of(
    clocks: Clocks, caplog: pytest.LogCaptureFixture, skew_s: float
) -> None:
    """Thirty seconds are a tenth of what receivers tolerate."""
    clocks.look(skew_s=skew_s)
    assert said(caplog) == []


@pytest.mark.parametrize("sign", [1, -1])
def test_a_slow_database_is_no_skew(clocks: Clocks, caplog: pytest.LogCaptureFixture, sign: int) -> None:
    """What the look-up itself took says nothing of the clocks."""
    clocks.look(skew_s=sign * 50, takes_s=60)
    assert said(caplog) == []
    clocks.look(skew_s=sign * 70, takes_s=60)
    assert len(said(caplog)) == 1
