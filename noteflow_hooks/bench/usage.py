"""What processes use: processor time, their children's included, and memory."""

from __future__ import annotations

import contextlib
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

_MB: Final = 1_000_000
#: The kind of a Linux clock that counts what a process uses; it stands beside the process's id (`clock_getcpuclockid`).
_CPU_CLOCK: Final = 2


def cpu_seconds(pids: Mapping[str, Iterable[int]], *, without: Collection[int] = ()) -> dict[str, float]:
    """Return the processor seconds that each group of processes has used so far, but for the processes ``without``."""
    return {name: sum(_of_tree(pid, without) for pid in group) for name, group in pids.items()}


def peak_mb(pid: int) -> float:
    """Return a process's peak of resident memory in MB, or its present use where the system keeps no peak."""
    status = Path(f"/proc/{pid}/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="ascii")) if status.exists() else None
    return int(found[1]) * 1024 / _MB if found is not None else psutil.Process(pid).memory_info().rss / _MB


def _of_tree(pid: int, without: Collection[int]) -> float:
    # The time of a process that has ended meanwhile is counted with its parent's.
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        return sum(_of(each) for each in [root, *root.children(recursive=True)] if each.pid not in without)
    return 0.0


def _of(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.NoSuchProcess, OSError):
        used = process.cpu_times()
        return _own(process.pid, used.user + used.system) + used.children_user + used.children_system
    return 0.0


def _own(pid: int, in_ticks: float) -> float:
    """Return what it has used to the nanosecond; where that is not to be had, what was counted in ticks of 10 ms."""
    return time.clock_gettime((~pid << 3) | _CPU_CLOCK) if sys.platform == "linux" else in_ticks
