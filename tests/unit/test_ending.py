"""When a program was told to end: each of its processes knows, whichever of them was told."""

from __future__ import annotations

import math
import multiprocessing
from typing import TYPE_CHECKING

from noteflow_hooks.concurrency.ending import Ending

if TYPE_CHECKING:
    from multiprocessing.connection import Connection


def _tell(ending: Ending, answers: Connection) -> None:
    answers.recv()
    answers.send(ending.since)


def test_a_process_that_was_forked_before_is_told_too() -> None:
    """A prefork worker is told to end, and its children, who hold the results, get no signal."""
    ending = Ending()
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    child = context.Process(target=_tell, args=(ending, there))
    child.start()
    ending.note(17.5)
    here.send("now")
    assert here.recv() == 17.5
    child.join()


def test_the_first_time_counts() -> None:
    """Whoever presses Ctrl-C again waits no longer for it."""
    ending = Ending()
    assert ending.since == math.inf
    ending.note(2.0)
    ending.note(3.0)
    assert ending.since == 2.0
