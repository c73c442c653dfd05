"""How much a second worker process adds to the rate, and how much Celery's task events cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from noteflow_hooks.bench.against import between_bare
from noteflow_hooks.bench.control import await_workers, command_workers
from noteflow_hooks.bench.scenario import Bound, Scenario
from noteflow_hooks.bench.stage import WORKERS
from noteflow_hooks.bench.traffic import burst

if TYPE_CHECKING:
    from noteflow_hooks.bench.scenario import Values
    from noteflow_hooks.bench.stage import Stage

_EVENTS: Final = 1_500
_FIRST_EVENTS: Final = 500


def second_worker(stage: Stage) -> Values:
    """Measure with two workers and with one, each time against as many bare loops."""
    two = _against_bare(stage, workers=WORKERS)
    stage.note_memory()
    stage.system.end_worker(WORKERS)
    one = _against_bare(stage, workers=1)
    stage.system.start_worker(WORKERS)
    await_workers(stage, stage.system.redis_url)
    # The new worker makes its connections now, not during the next scenario.
    burst(stage, stage.workspaces(), events=stage.count(_FIRST_EVENTS))
    ratio = (two["rate_per_s"] / one["rate_per_s"]) / (two["bare_per_s"] / one["bare_per_s"])
    return {
        "ratio": ratio,
        "one_per_s": one["rate_per_s"],
        "two_per_s": two["rate_per_s"],
        "bare_one_per_s": one["bare_per_s"],
        "bare_two_per_s": two["bare_per_s"],
    }


def task_events(stage: Stage) -> Values:
    """Measure without Celery's task events and with them, as a monitor needs them."""
    events = stage.count(_EVENTS)
    without = burst(stage, stage.workspaces(), events=events).rate_per_s
    command_workers(stage.system.redis_url, "enable_events")
    try:
        rate = burst(stage, stage.workspaces(), events=events).rate_per_s
    finally:
        command_workers(stage.system.redis_url, "disable_events")
    return {"ratio": rate / without, "rate_per_s": rate, "without_per_s": without}


def _against_bare(stage: Stage, *, workers: int) -> Values:
    events = stage.count(_EVENTS)
    bare, sent = between_bare(stage, events, lambda: burst(stage, stage.workspaces(), events=events), loops=workers)
    return {"bare_per_s": bare, "rate_per_s": sent.rate_per_s}


SCALING: Final = (
    Scenario(
        "second-worker",
        "what a second worker adds, against what a second bare loop adds",
        second_worker,
        (Bound("ratio", "(two workers ÷ one) ÷ (two bare loops ÷ one)", "at least", 0.95),),
    ),
    Scenario("task-events", "with Celery's task events on, against without", task_events),
)
