"""All that relies on what Celery's workers and beat keep to themselves, but for their events.

``tests/unit/test_celery_internals.py`` names the version that was read, and holds each thing that is relied on. Events
are in ``workers/event_internals.py``, and ``broker/kombu_internals.py`` has kombu's.
"""

from __future__ import annotations

import logging
import signal
from typing import TYPE_CHECKING, Any, Final

from billiard import pool, popen_fork
from celery import Celery
from celery.app import trace
from celery.apps.worker import Worker
from celery.worker import state, strategy
from kombu.utils.objects import cached_property

from noteflow_hooks.broker.kombu_internals import MALFORMED
from noteflow_hooks.telemetry.counting import count
from noteflow_hooks.telemetry.metrics import DROPPED
from workers.event_internals import WorkerEvents

if TYPE_CHECKING:
    from celery.worker.request import Request

log = logging.getLogger(__name__)
_Worker: Any = Worker
_pool: Any = pool
_popen_fork: Any = popen_fork
_billiards_terminate_job: Any = pool.Pool.terminate_job
_state: Any = state


class GuardedWorker(_Worker):  # type: ignore[misc]  # Celery's class is untyped
    """A worker in which a task that can't be handed to the pool gives back what it has taken."""

    def _process_task(self, req: Request) -> None:
        try:
            super()._process_task(req)
        except MALFORMED as error:
            # Celery would let it end the loop, or keep the slot; after a few of these a worker stands still.
            log.warning("a task was dropped: it can't be begun (%s)", type(error).__name__, exc_info=True)
            count(DROPPED, "not_begun")
            _state.task_ready(req)
            req.reject(requeue=False)
            self._release_slot()

    def _release_slot(self) -> None:
        # Only a worker with child processes counts them here.
        release = getattr(self, "_quick_release", None)
        if release is not None:
            release()


def leave_out_receipts() -> None:
    """Have no line say that a task was received: the one of its end says as much, and the task begins earlier.

    Call it before a worker makes its consumer.
    """
    logging.getLogger(strategy.__name__).setLevel(logging.WARNING)


#: What relay, sweep and purge return where they found nothing to do, as Celery shows it.
_IDLE_RESULTS: Final = frozenset({"'0 events'", "'0 reclaimed, 0 overdue, 0 slots'", "'nothing is old enough'"})


class _IdleRounds(logging.Filter):
    """Leaves out the line of a task that had nothing to do."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the record is to be logged."""
        args = record.args
        return not (isinstance(args, dict) and args.get("return_value") in _IDLE_RESULTS)


def leave_out_idle_rounds() -> None:
    """Have no line say that relay, sweep or purge found nothing: of an idle system they are megabytes a day."""
    logger = logging.getLogger(trace.__name__)
    if not any(isinstance(each, _IdleRounds) for each in logger.filters):
        logger.addFilter(_IdleRounds())


def end_children_by_sigquit() -> None:
    """Have a worker end its child processes by SIGQUIT, which they handle as SIGTERM: that is for the worker alone.

    systemd sends SIGTERM to each process of a service. A child that took it itself would leave its POSTs without a
    result, and they would be sent again, while the worker waits for them.
    """
    _popen_fork.TERM_SIGNAL = _pool.TERM_SIGNAL = signal.SIGQUIT
    _pool.Pool.terminate_job = _terminate_job


def ignore_sigterm() -> None:
    """Call it in a child process before it takes tasks; billiard leaves a signal alone that is ignored by then."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def end_beat_at_its_next_step(service: Any) -> None:  # noqa: ANN401 - beat's service
    """Have SIGTERM and SIGINT end beat even where the exception by which Celery ends it is lost.

    It is raised wherever beat just is: in a destructor, Python swallows it, and beat would go on for ever.
    """

    def end(*_: object) -> None:
        service.stop()
        raise SystemExit

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, end)


def _terminate_job(pool: Any, pid: int, sig: int | None = None) -> None:  # noqa: ANN401 - billiard's pool
    # What `celery control terminate` names is SIGTERM too.
    _billiards_terminate_job(pool, pid, signal.SIGQUIT if sig == signal.SIGTERM else sig)


class GuardedCelery(Celery):
    """A Celery app whose workers are guarded."""

    events_cls: Any = WorkerEvents

    @cached_property
    def Worker(self) -> Any:  # noqa: ANN401, N802 - Celery's own
        """The class that ``celery worker`` starts."""
        return self.subclass_with_self(GuardedWorker, name="Worker")
