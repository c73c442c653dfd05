"""The Celery app. Each setting stands here with its reason; what a message does is in :mod:`workers.tasks`."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

from celery import Celery, signals
from celery.utils.log import get_multiprocessing_logger
from kombu import Exchange, Queue
from kombu.utils import functional

from noteflow_hooks import logs
from noteflow_hooks.broker.publisher import DELIVER_QUEUE, DELIVER_TASK, DISPATCH_QUEUE, DISPATCH_TASK
from noteflow_hooks.errors import SettingsError
from noteflow_hooks.settings import Settings, unknown_variables

log = logging.getLogger(__name__)

RELAY_TASK = "noteflow.hooks.relay"
SWEEP_TASK = "noteflow.hooks.sweep"
PURGE_TASK = "noteflow.hooks.purge"
SLOW_QUEUE = "deliver.slow"
MAINTENANCE_QUEUE = "maintenance"
QUEUES = (DISPATCH_QUEUE, DELIVER_QUEUE, SLOW_QUEUE, MAINTENANCE_QUEUE)


# kombu's stubs leave out what it imports.
_functional: Any = functional


def build(settings: Settings) -> Celery:
    """Make the app; raise SettingsError where a setting that it needs is missing."""
    settings.require("database_url", "redis_url")
    # Under gevent kombu 5.7 has kept the blocking one, from before Celery replaces it: while Redis is away the whole
    # process would stand still for seconds at a time, no result would be stored, and leases would run out.
    _functional.sleep = time.sleep
    app = Celery("noteflow-hooks", broker=settings.redis_url, include=["workers.tasks"])
    app.conf.update(
        # Ids in, counts out: nothing needs another serializer, and a result store would be pure cost.
        accept_content=["json"],
        task_ignore_result=True,
        # The names are public. A queue that nobody consumes would swallow hints, so none comes up by a slip.
        task_queues=[Queue(name, Exchange(""), routing_key=name) for name in QUEUES],
        task_create_missing_queues=False,
        task_default_queue=MAINTENANCE_QUEUE,
        task_routes={
            DISPATCH_TASK: {"queue": DISPATCH_QUEUE},
            DELIVER_TASK: {"queue": DELIVER_QUEUE},
            RELAY_TASK: {"queue": MAINTENANCE_QUEUE},
            SWEEP_TASK: {"queue": MAINTENANCE_QUEUE},
            PURGE_TASK: {"queue": MAINTENANCE_QUEUE},
        },
        # Redis' own, but for what is no task: that would end each worker that meets it.
        broker_transport="workers.broker:Transport",
        broker_transport_options={
            # The row is the truth: a message lost with its worker is found by the sweep. Without the emulated
            # acknowledgement each message costs one round trip in place of three, and none ever comes twice.
            "ack_emulation": False,
            # kombu's default is to wait for ever; a frozen Redis must not freeze a worker.
            "socket_timeout": 10,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            # Under gevent every task has a connection of its own; kombu's default of 10 would refuse the rest.
            "max_connections": 500,
            # Who looks at a queue's length while Redis is away is told so at once; kombu's default takes six seconds.
            "max_retries": 1,
            "interval_start": 0,
            "interval_step": 0.2,
            "interval_max": 0.2,
        },
        # Redis may be away for a night: a worker waits for it as long as it takes.
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        # So is one that is full, or has a key of another kind in a queue's place.
        broker_channel_error_retry=True,
        # POSTs under way when Redis goes are finished and recorded.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        # More than one waiting message a slot would sit with a busy worker while another is idle.
        worker_prefetch_multiplier=1,
        # In memory: a few periods need no file to remember when they last ran.
        beat_scheduler="celery.beat:Scheduler",
        beat_schedule={
            "relay": _every(settings.relay_every_s, RELAY_TASK),
            "sweep": _every(settings.sweep_every_s, SWEEP_TASK),
            "purge": _every(settings.purge_every_s, PURGE_TASK),
        },
    )
    return app


def _every(seconds: float, task: str) -> dict[str, object]:
    # With no worker there, ticks must not pile up: the next one does all that the missed ones would have done. The
    # limit is long, since it is an absolute time and hosts' clocks may differ by minutes.
    return {"task": task, "schedule": seconds, "options": {"expires": max(2 * seconds, 900)}}


@signals.after_setup_logger.connect
@signals.after_setup_task_logger.connect
def format_logs(logger: logging.Logger, **_: Any) -> None:  # noqa: ANN401 - Celery's signature
    """Have what goes to Celery's handlers, wherever they lead, go there in our format: worker, beat and pool alike."""
    pool: logging.Logger | None = get_multiprocessing_logger()
    for handler in (*logger.handlers, *(pool.handlers if pool is not None else ())):
        handler.setFormatter(logs.formatter(settings.log_format))
    logs.set_up()


@signals.celeryd_init.connect
def begin_logs(instance: Any, **_: Any) -> None:  # noqa: ANN401 - Celery's signature
    """Log what comes before Celery's handlers do, and print no drawing in front of lines that a program reads."""
    logs.configure(settings.log_format)
    instance.quiet = instance.quiet or settings.log_format == "json"
    warn_of_slips()


@signals.beat_init.connect
def warn_of_slips(**_: Any) -> None:  # noqa: ANN401 - Celery's signature
    """Say which of our variables are no settings."""
    for line in unknown_variables():
        log.warning("%s", line)


def _load() -> tuple[Settings, Celery]:
    try:
        settings = Settings.load()
        return settings, build(settings)
    except SettingsError as error:
        sys.exit(f"noteflow-hooks: {error}")


settings, app = _load()
