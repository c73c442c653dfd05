"""The most memory that a worker process has taken so far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from noteflow_hooks.bench.scenario import Bound, Scenario

if TYPE_CHECKING:
    from noteflow_hooks.bench.scenario import Values
    from noteflow_hooks.bench.stage import Stage


def worker_memory(stage: Stage) -> Values:
    """Return the highest peak of any worker, including those that have ended."""
    stage.note_memory()
    return {"worker_peak_mb": stage.worker_peak_mb}


MEMORY: Final = (
    Scenario(
        "memory",
        "the peak of a worker process over the whole run",
        worker_memory,
        (Bound("worker_peak_mb", "peak memory of a worker process in MB", "at most", 120.0),),
        is_once=True,
    ),
)
