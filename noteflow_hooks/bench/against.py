"""A rate that holds up over minutes in which the machine is now faster, now slower: each burst against a bare loop."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from noteflow_hooks.bench.bare import bare_rate
from noteflow_hooks.bench.traffic import burst

if TYPE_CHECKING:
    from noteflow_hooks.bench.stage import Stage


def against_bare(stage: Stage, *, events: int, bursts: int) -> float:
    """Return the median of so many bursts' rates, each divided by the bare loop's directly before it."""
    return statistics.median(_once(stage, stage.count(events)) for _ in range(bursts))


def _once(stage: Stage, events: int) -> float:
    bare = bare_rate(stage, events)
    return burst(stage, stage.workspaces(), events=events).rate_per_s / bare
