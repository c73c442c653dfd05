"""The way of one event through the code stays short: so few files, and so few changes from one to another.

``scripts/trace_delivery.py`` sends one on embedded servers and prints the sums, for the server's way and the worker's.
"""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.quality.sources import ROOT

if TYPE_CHECKING:
    from pathlib import Path

_SUM: Final = re.compile(r"^# ([^:\n]+).*\n(?:(?!#).*\n)*?(\d+) files, (\d+) changes of file$", re.MULTILINE)


class Way(NamedTuple):
    """How many files a way touches, and how often it goes from one to another."""

    files: int
    changes: int


#: From the task `dispatch` until the delivery is settled; before anybody counted it was 32 and 105.
MOST: Final = Way(files=25, changes=60)


def traced(script: Path) -> dict[str, Way]:
    """Run the script and return the ways by their names; fail where it fails, with what it says."""
    ended = subprocess.run([sys.executable, script, "--brief"], capture_output=True, text=True, check=False, cwd=ROOT)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return {name: Way(int(files), int(changes)) for name, files, changes in _SUM.findall(ended.stdout)}


def is_short(way: Way) -> bool:
    """Tell whether it is no longer than it may be, in either count."""
    return way.files <= MOST.files and way.changes <= MOST.changes


def test_the_worker_takes_an_event_a_short_way() -> None:
    """Who reads it goes back and forth as often."""
    ways = traced(ROOT / "scripts" / "trace_delivery.py")
    assert ways.keys() == {"the server's way", "the worker's way"}
    assert is_short(ways["the worker's way"]), ways


def test_a_way_that_is_too_long_is_found(tmp_path: Path) -> None:
    """By its files as well as by its changes, and whatever is printed between a name and its sum."""
    script = tmp_path / "trace.py"
    script.write_text(
        'print("# short: so\\na.py\\n    f\\n25 files, 60 changes of file")\n'
        'print("# wide\\n26 files, 1 changes of file\\n# winding: x\\n2 files, 61 changes of file")\n'
    )
    ways = traced(script)
    assert {name: is_short(way) for name, way in ways.items()} == {"short": True, "wide": False, "winding": False}
