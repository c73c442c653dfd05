"""Results that come in late."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from noteflow_hooks.concurrency import collector as module
from noteflow_hooks.concurrency.collector import BatchCollector
from tests.support.waiting import PATIENCE_S, until

if TYPE_CHECKING:
    from collections.abc import Callable


def collector(take: Callable[[list[int]], None]) -> BatchCollector[int]:
    return BatchCollector(take, name="late results", gather_s=0.02)


def test_what_comes_together_is_taken_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three results within a moment are one group, and closing waits until they are taken."""
    groups: list[list[int]] = []
    moment_is_over = threading.Event()
    monkeypatch.setattr(module, "time", SimpleNamespace(sleep=lambda _: moment_is_over.wait(PATIENCE_S)))
    late = collector(groups.append)
    for number in range(3):
        late.put(number)
    moment_is_over.set()
    late.close()
    assert groups == [[0, 1, 2]]


def test_a_group_that_fails_costs_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and the thread goes on."""
    taken = threading.Event()

    def take(group: list[int]) -> None:
        if group == [0]:
            raise ValueError("refused")
        taken.set()

    late = collector(take)
    late.put(0)
    while not caplog.records:
        assert not taken.wait(0.01)
    late.put(1)
    late.close()
    assert taken.is_set()
    assert "1 late results could not be taken care of" in caplog.text


def test_closing_what_was_never_used_ends_at_once() -> None:
    """No thread was begun."""
    collector(print).close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # that is how it is killed
def test_where_the_thread_was_killed_another_takes_what_comes() -> None:
    """A worker that is ended in the middle of a group must not leave all later ones waiting."""
    taken: list[int] = []

    def take(group: list[int]) -> None:
        if group == [0]:
            raise SystemExit
        taken.extend(group)

    late = collector(take)
    late.put(0)
    until(lambda: late._thread is not None and not late._thread.is_alive(), what="the thread has ended")  # noqa: SLF001 - nothing else tells
    late.put(1)
    late.close()
    assert taken == [1]
