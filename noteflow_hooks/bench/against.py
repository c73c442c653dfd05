"""Ratios that hold while the machine's speed changes: each figure stands between two measurements of its baseline."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from noteflow_hooks.bench.bare import bare_rate
from noteflow_hooks.bench.stage import WORKERS
from noteflow_hooks.bench.traffic import burst

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from noteflow_hooks.bench.stage import Stage

T = TypeVar("T")

#: A baseline that was measured so recently is the one before the next figure, too.
_RECENT_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Last:
    """The baseline that was measured last."""

    kind: Hashable
    rate: float
    ended_at: float


def between(
    stage: Stage, baseline: Callable[[], float], *, kind: Hashable, measure: Callable[[], T]
) -> tuple[float, T]:
    """Measure the baseline, the figure, and the baseline once more; return the mean of the baselines, and the figure.

    Baselines of one ``kind`` are the same work: one that has only just been made is not made again.
    """
    before = _before(stage, baseline, kind)
    found = measure()
    after = baseline()
    stage.last_baseline = _Last(kind, after, time.monotonic())
    return statistics.fmean([before, after]), found


def _before(stage: Stage, baseline: Callable[[], float], kind: Hashable) -> float:
    last = stage.last_baseline
    if isinstance(last, _Last) and last.kind == kind and time.monotonic() - last.ended_at < _RECENT_S:
        return last.rate
    return baseline()


def between_bare(
    stage: Stage, posts: int, measure: Callable[[], T], *, loops: int = WORKERS, is_tls: bool = False
) -> tuple[float, T]:
    """Measure between two runs of the bare loops; return their mean rate, and the figure."""
    return between(
        stage,
        lambda: bare_rate(stage, posts, is_tls=is_tls, loops=loops),
        kind=("bare", posts, loops, is_tls),
        measure=measure,
    )


def against_bare(stage: Stage, *, events: int, bursts: int) -> float:
    """Return the median over the bursts of a burst's rate divided by that of the bare loops around it."""
    return statistics.median(_once(stage, stage.count(events)) for _ in range(bursts))


def _once(stage: Stage, events: int) -> float:
    bare, sent = between_bare(stage, events, lambda: burst(stage, stage.workspaces(), events=events))
    return sent.rate_per_s / bare
