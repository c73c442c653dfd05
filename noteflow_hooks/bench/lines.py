"""The child's side of :mod:`noteflow_hooks.bench.processes`: lines in, JSON out."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def told() -> Iterator[str]:
    """Yield each line as soon as it is there, until the standard input ends."""
    # The file's own iterator would read ahead.
    while line := sys.stdin.readline():
        yield line


def say(answer: object) -> None:
    """Answer with a line of JSON."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def answer_each(answer: Callable[[str], object]) -> None:
    """Say that it is ready, and answer each line until the standard input ends."""
    say("ready")
    for line in told():
        say(answer(line))
