"""A rate that can be compared over minutes in which the machine's speed changes: each burst against a bare loop."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from noteflow_hooks.bench.bare import bare_rate
from noteflow_hooks.bench.traffic import burst

if TYPE_CHECKING:
    from noteflow_hooks.bench.stage import Stage


def against_bare(stage: Stage, *, events: int, bursts: int) -> float:
    """Return the median over the bursts of a burst's rate divided by that of the bare loop directly before it."""
    return statistics.median(_once(stage, stage.count(events)) for _ in range(bursts))


def _once(stage: Stage, events: int) -> float:
    bare = bare_rate(stage, events)
    return burst(stage, stage.workspaces(), events=events).rate_per_s / bare
