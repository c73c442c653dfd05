"""What processes use: processor time, their children's included, and memory."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_MB: Final = 1_000_000


def cpu_seconds(pids: Mapping[str, Iterable[int]]) -> dict[str, float]:
    """Return the processor seconds that each group of processes has used so far."""
    return {name: sum(map(_of_tree, group)) for name, group in pids.items()}


def peak_mb(pid: int) -> float:
    """Return a process's peak of resident memory in MB, or its present use where the system keeps no peak."""
    status = Path(f"/proc/{pid}/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="ascii")) if status.exists() else None
    return int(found[1]) * 1024 / _MB if found is not None else psutil.Process(pid).memory_info().rss / _MB


def _of_tree(pid: int) -> float:
    # The time of a process that has ended meanwhile is counted with its parent's.
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        return sum(map(_of, [root, *root.children(recursive=True)]))
    return 0.0


def _of(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.NoSuchProcess):
        used = process.cpu_times()
        return used.user + used.system + used.children_user + used.children_system
    return 0.0
