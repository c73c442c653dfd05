"""The way of one event through the code stays short."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "trace_delivery.py"


def test_the_worker_s_way_is_within_its_bounds() -> None:
    """At most 25 files and 60 changes, as the script says by its status; each file is printed where it comes."""
    done = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, check=False, timeout=120)
    sums = re.findall(r"^(\d+) files, (\d+) changes of file$", done.stdout, re.MULTILINE)
    assert (done.returncode, len(sums)) == (0, 2), done.stdout[-2000:] + done.stderr[-2000:]
    way = done.stdout.rpartition("# the worker's way")[2]
    stays = re.findall(r"^(?:noteflow_hooks|workers)/\S+$", way, re.MULTILINE)
    assert (stays[0], len(set(stays)), len(stays) - 1) == ("workers/tasks.py", *map(int, sums[1]))
