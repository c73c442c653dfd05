"""Results that come in late."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING

from noteflow_hooks.concurrency import collector as module
from noteflow_hooks.concurrency.collector import BatchCollector
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    import pytest


def test_what_comes_together_is_taken_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three results within a moment are one group, and closing waits until they are taken."""
    groups: list[list[int]] = []
    moment_is_over = threading.Event()
    monkeypatch.setattr(module, "time", SimpleNamespace(sleep=lambda _: moment_is_over.wait(PATIENCE_S)))
    late = BatchCollector(groups.append)
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

    late = BatchCollector(take)
    late.put(0)
    while not caplog.records:
        assert not taken.wait(0.01)
    late.put(1)
    late.close()
    assert taken.is_set()
    assert "1 late results could not be recorded" in caplog.text


def test_closing_what_was_never_used_ends_at_once() -> None:
    """No thread was begun."""
    BatchCollector(print).close()
