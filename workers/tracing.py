"""Has a worker trace; imported only where a collector is named.

The processes of a pool are forked from the worker's own, which imports what they all need. Each begins to send spans by
itself, with its first task: no thread would survive the fork.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery import signals

from noteflow_hooks.concurrency.outage import COLLECTOR
from noteflow_hooks.telemetry.starting import import_tracing, require_tracing, start_tracing

if TYPE_CHECKING:
    from noteflow_hooks.telemetry.trace_plan import TracePlan
    from noteflow_hooks.telemetry.tracing import SpanRecorder


def trace_workers() -> None:
    """Have the worker that this app starts, if it starts one, trace; raise SettingsError."""
    require_tracing()

    def begin(**_: Any) -> None:  # noqa: ANN401 - Celery's signature
        import_tracing()

    signals.celeryd_init.connect(begin, weak=False)


def begun(plan: TracePlan) -> SpanRecorder:
    """Have this process trace from now on."""
    return start_tracing(plan, "worker", COLLECTOR)
