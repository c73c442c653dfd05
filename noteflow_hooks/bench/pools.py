"""Celery's worker pools against each other, with as many worker processes, on the same work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from noteflow_hooks.bench.against import against_bare
from noteflow_hooks.bench.crews import other_workers
from noteflow_hooks.bench.scenario import Scenario

if TYPE_CHECKING:
    from collections.abc import Sequence

    from noteflow_hooks.bench.scenario import Values
    from noteflow_hooks.bench.stage import Stage

_EVENTS: Final = 2_000
_BURSTS: Final = 7
_POOLS: Final = {
    "gevent": ("-P", "gevent", "-c", "16"),
    "threads": ("-P", "threads", "-c", "16"),
    "prefork": ("-P", "prefork", "-c", "2"),
}


def pools(stage: Stage) -> Values:
    """Measure each pool against the bare loop."""
    return {f"{name}_ratio": _ratio(stage, options) for name, options in _POOLS.items()}


def _ratio(stage: Stage, options: Sequence[str]) -> float:
    with other_workers(stage, pool=options):
        return against_bare(stage, events=_EVENTS, bursts=_BURSTS)


POOLS: Final = (Scenario("pools", "gevent, threads and prefork against each other", pools, is_once=True),)
