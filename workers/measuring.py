"""Measures a worker and its child processes; imported only where METRICS_BIND is set.

The worker's own process answers for all of them. Each child counts in the slot of its number among the pool's, which
billiard gives to the next one when it has ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from billiard import process
from celery import signals

from noteflow_hooks.broker.faults import kind_of
from noteflow_hooks.telemetry.counting import count, figures
from noteflow_hooks.telemetry.memory import SharedFigures
from noteflow_hooks.telemetry.metrics import REDIS_ERRORS
from noteflow_hooks.telemetry.starting import answer_metrics, measure, require_client
from workers.consumer import LivingConsumer

if TYPE_CHECKING:
    from celery import Celery

#: The worker's own process, and the most children that have a slot each.
_SLOTS: Final = 257
_process: Any = process


class MeasuredConsumer(LivingConsumer):
    """The workers' consumer, which counts how often the way to Redis broke."""

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """Count it, and do what that does."""
        count(REDIS_ERRORS, kind_of(exc))
        super().on_connection_error_before_connected(exc)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Count it, and do what that does."""
        count(REDIS_ERRORS, kind_of(exc))
        super().on_connection_error_after_connected(exc)


def measure_workers(app: Celery, *, bind: str) -> None:
    """Have the worker that this app starts, if it starts one, count and answer there; raise SettingsError."""
    require_client()
    app.conf.worker_consumer = f"{__name__}:{MeasuredConsumer.__name__}"
    # Made before any fork, and used by nobody unless a worker is started: beat and other commands load the app too.
    shared = SharedFigures.made(_SLOTS)

    def begin(**_: Any) -> None:  # noqa: ANN401 - Celery's signature
        measure(shared)

    def answer(**_: Any) -> None:  # noqa: ANN401 - as above
        answer_metrics(bind, shared)

    def begin_in_child(**_: Any) -> None:  # noqa: ANN401 - as above
        measure(shared, slot=1 + _process.current_process().index)

    def leave(**_: Any) -> None:  # noqa: ANN401 - as above
        if (own := figures()) is not None:
            own.leave()

    for signal, receiver in (
        (signals.celeryd_init, begin),
        (signals.worker_ready, answer),
        (signals.worker_process_init, begin_in_child),
        (signals.worker_process_shutdown, leave),
    ):
        signal.connect(receiver, weak=False)
