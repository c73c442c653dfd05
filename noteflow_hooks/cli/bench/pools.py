"""Celery's worker pools against each other, with as many worker processes, on the same work."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Final

from noteflow_hooks.cli.bench.crews import other_workers
from noteflow_hooks.cli.bench.scenario import Scenario
from noteflow_hooks.cli.bench.traffic import burst

if TYPE_CHECKING:
    from collections.abc import Sequence

    from noteflow_hooks.cli.bench.scenario import Values
    from noteflow_hooks.cli.bench.stage import Stage

_EVENTS: Final = 2_000
_BURSTS: Final = 5
#: The last option of a kind counts, so these stand in for the system's own.
_POOLS: Final = {
    "gevent": ("-P", "gevent", "-c", "16"),
    "threads": ("-P", "threads", "-c", "16"),
    "prefork": ("-P", "prefork", "-c", "2"),
}


def pools(stage: Stage) -> Values:
    """Measure each pool; the ratios are to the first."""
    rates = {name: _rate(stage, options) for name, options in _POOLS.items()}
    first = next(iter(rates.values()))
    ratios = {f"{name}_ratio": rate / first for name, rate in rates.items()}
    return {**{f"{name}_per_s": rate for name, rate in rates.items()}, **ratios}


def _rate(stage: Stage, options: Sequence[str]) -> float:
    with other_workers(stage, pool=options):
        return statistics.median(
            burst(stage, stage.workspaces(), events=stage.count(_EVENTS)).rate_per_s for _ in range(_BURSTS)
        )


POOLS: Final = (Scenario("pools", "gevent, threads and prefork against each other", pools, is_once=True),)
