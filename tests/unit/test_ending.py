"""When a program was told to end: each of its processes knows, whichever of them was told."""

from __future__ import annotations

import math
import subprocess
import sys

from noteflow_hooks.concurrency.ending import Ending

#: A program of its own: a fork of this process may hang by what other tests' threads have held.
_FORKS = """
import os
from noteflow_hooks.concurrency.ending import Ending
ending = Ending()
told, tells = os.pipe()
if os.fork() == 0:
    os.read(told, 1)
    print(ending.since, flush=True)
    os._exit(0)
ending.note(17.5)
os.write(tells, b"!")
os.wait()
"""


def test_a_process_that_was_forked_before_is_told_too() -> None:
    """A prefork worker is told to end, and its children, who hold the results, get no signal."""
    ended = subprocess.run([sys.executable, "-c", _FORKS], capture_output=True, text=True, check=False, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "17.5\n", "")


def test_the_first_time_counts() -> None:
    """Whoever presses Ctrl-C again waits no longer for it."""
    ending = Ending()
    assert ending.since == math.inf
    ending.note(2.0)
    ending.note(3.0)
    assert ending.since == 2.0
