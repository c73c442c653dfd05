"""The Celery app. Each setting stands here with its reason; what a message does is in :mod:`workers.tasks`."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any, Final

from celery import signals
from celery.utils.log import get_multiprocessing_logger
from kombu import Exchange, Queue

from noteflow_hooks import logs
from noteflow_hooks.broker.environment import refuse_celerys_variables
from noteflow_hooks.broker.kombu_internals import wait_without_blocking_others
from noteflow_hooks.broker.names import (
    DELIVER_QUEUE,
    DELIVER_TASK,
    DISPATCH_QUEUE,
    DISPATCH_TASK,
    MAINTENANCE_QUEUE,
    PURGE_TASK,
    QUEUES,
    RELAY_TASK,
    SWEEP_TASK,
)
from noteflow_hooks.broker.redis_mode import refuse_mode
from noteflow_hooks.concurrency.pulse import TURN_S
from noteflow_hooks.errors import SettingsError
from noteflow_hooks.settings import Settings, TraceSettings, unknown_variables
from workers import life
from workers.celery_internals import (
    GuardedCelery,
    end_beat_at_its_next_step,
    end_children_by_sigquit,
    ignore_sigterm,
    leave_out_idle_rounds,
    leave_out_receipts,
)
from workers.transport import PLAIN_TRANSPORT, TLS_TRANSPORT

if TYPE_CHECKING:
    from celery import Celery

    from noteflow_hooks.redis_url import RedisAddress
    from noteflow_hooks.telemetry.trace_plan import TracePlan

log = logging.getLogger(__name__)

#: The names are public. A queue that nobody consumes would swallow wake-ups, so a slip in ``-Q`` makes none.
_QUEUES: Final[dict[str, object]] = {
    "task_queues": [Queue(name, Exchange(""), routing_key=name) for name in QUEUES],
    "task_create_missing_queues": False,
    "task_default_queue": MAINTENANCE_QUEUE,
    "task_routes": {
        DISPATCH_TASK: {"queue": DISPATCH_QUEUE},
        DELIVER_TASK: {"queue": DELIVER_QUEUE},
        RELAY_TASK: {"queue": MAINTENANCE_QUEUE},
        SWEEP_TASK: {"queue": MAINTENANCE_QUEUE},
        PURGE_TASK: {"queue": MAINTENANCE_QUEUE},
    },
}
#: Ids in, counts out: nothing needs another serializer, and a result store would be pure cost.
_MESSAGES: Final[dict[str, object]] = {
    "accept_content": ["json"],
    "task_ignore_result": True,
    # The store that does nothing is one for the process: each task's greenlet or thread would make one of its own.
    "result_backend_thread_safe": True,
}
_TRANSPORT_OPTIONS: Final[dict[str, object]] = {
    # The row is the truth: a message lost with its worker is found by the sweep. Without the emulated
    # acknowledgement each message costs one round trip in place of three, and none ever comes twice.
    "ack_emulation": False,
    # kombu's default is to wait for ever; a frozen Redis must not freeze a worker.
    "socket_timeout": 10,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    # Under gevent every task has a connection of its own; kombu's default of 10 would refuse the rest.
    "max_connections": 500,
    # Who asks for a queue's length while Redis is away is refused at once; kombu's default takes six seconds.
    "max_retries": 1,
    "interval_start": 0,
    "interval_step": 0.2,
    "interval_max": 0.2,
}
#: A tick that can't be sent in time is sent with the next one.
_BEAT_TIMEOUTS: Final[dict[str, object]] = {"socket_timeout": 2, "socket_connect_timeout": 2}
_BROKER: Final[dict[str, object]] = {
    "broker_transport_options": _TRANSPORT_OPTIONS,
    # Redis may be away for a night: a worker waits for it as long as it takes.
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    # It also waits for one that is full, or has a key of another kind in a queue's place.
    "broker_channel_error_retry": True,
}
_WORKER: Final[dict[str, object]] = {
    # Celery's, which shows that it is alive.
    "worker_consumer": "workers.consumer:LivingConsumer",
    # POSTs under way when Redis goes are finished and recorded.
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    # More than one waiting message a slot would sit with a busy worker while another is idle.
    "worker_prefetch_multiplier": 1,
}
#: The least time after which a tick's message expires. It is sent as a date, and hosts' clocks may differ by minutes.
_TICK_EXPIRES_S: Final = 900


def build(settings: Settings, trace_plan: TracePlan | None = None) -> Celery:
    """Make the app; raise SettingsError where a setting that it needs is missing. Without a plan nothing is traced."""
    settings.require("database_url", "redis_url")
    refuse_celerys_variables()
    wait_without_blocking_others()
    app = GuardedCelery("noteflow-hooks", include=["workers.tasks"])
    app.conf.update(_QUEUES | _MESSAGES | _BROKER | _broker(settings.redis) | _WORKER | _beat(settings))
    if settings.metrics_bind is not None:
        from workers.measuring import measure_workers  # noqa: PLC0415 - where nothing is measured, nothing is imported

        measure_workers(app, bind=settings.metrics_bind)
    if trace_plan is not None:
        from workers.tracing import trace_workers  # noqa: PLC0415 - where nothing is traced, nothing is imported

        trace_workers()
    return app


def _broker(address: RedisAddress) -> dict[str, object]:
    # Redis' own transport, but for what is no task: that would end each worker that meets it.
    transport = PLAIN_TRANSPORT if address.tls is None else TLS_TRANSPORT
    return {**address.celery_options, "broker_transport": transport}


def _beat(settings: Settings) -> dict[str, object]:
    return {
        # In memory: a few periods need no file to remember when they last ran. By the monotonic clock: one that is set
        # back would hold up relay and sweep for as long.
        "beat_scheduler": "workers.scheduler:SteadyScheduler",
        # So often it looks at least, and shows that it is alive.
        "beat_max_loop_interval": TURN_S,
        "beat_schedule": {
            "relay": _every(settings.relay_every_s, RELAY_TASK),
            "sweep": _every(settings.sweep_every_s, SWEEP_TASK),
            "purge": _every(settings.purge_every_s, PURGE_TASK),
        },
    }


def _every(seconds: float, task: str) -> dict[str, object]:
    # With no worker there, ticks must not pile up: the next one does all that the missed ones would have done.
    # One that can't be sent is sent with the next tick: beat is not to be held up for long.
    again = {"max_retries": 1, "interval_start": 0, "interval_step": 0}
    options = {"expires": max(2 * seconds, _TICK_EXPIRES_S), "retry_policy": again}
    return {"task": task, "schedule": seconds, "options": options}


@signals.after_setup_logger.connect
@signals.after_setup_task_logger.connect
def format_logs(logger: logging.Logger, **_: Any) -> None:  # noqa: ANN401 - Celery's signature
    """Have what goes to Celery's handlers, wherever they lead, go there in our format: worker, beat and pool alike."""
    pool: logging.Logger | None = get_multiprocessing_logger()
    for handler in (*logger.handlers, *(pool.handlers if pool is not None else ())):
        handler.setFormatter(logs.formatter(settings.log_format))
    logs.set_up()


@signals.after_setup_logger.connect
def log_each_task_once(loglevel: int, **_: Any) -> None:  # noqa: ANN401 - Celery's signature
    """Say of a task how it ended, and at DEBUG when it came, too."""
    if loglevel > logging.DEBUG:
        leave_out_receipts()
        leave_out_idle_rounds()


@signals.celeryd_init.connect
@signals.beat_init.connect
def refuse_variables(**_: Any) -> None:  # noqa: ANN401 - Celery's signature
    """End a worker or beat whose command line has Celery replace our settings, or whose Redis can be no broker."""
    try:
        refuse_celerys_variables()
        refuse_mode(settings.redis)
    except SettingsError as error:
        sys.exit(f"noteflow-hooks: {error}")


@signals.celeryd_init.connect
def refuse_autoscale(options: dict[str, Any], **_: Any) -> None:  # noqa: ANN401 - Celery's signature
    """End a worker that is to scale a pool that can't grow: Celery stumbles over each message there, and drops it."""
    if options.get("autoscale") and _pool_in(options) in ("thread", "solo"):
        sys.exit("noteflow-hooks: --autoscale needs -P prefork or -P gevent; the pools threads and solo can't grow")


def _pool_in(options: dict[str, Any]) -> str:
    """Return the name of the module of the pool that a worker's options ask for."""
    pool = options.get("pool_cls") or options.get("pool")
    return str(getattr(pool, "__module__", "")).rpartition(".")[2]


@signals.celeryd_init.connect
def show_tasks_of_the_loop(options: dict[str, Any], **_: Any) -> None:  # noqa: ANN401 - Celery's signature
    """Have a worker whose loop does the tasks itself show that it does one: it turns again when that has ended."""
    if _pool_in(options) == "solo":
        signals.task_prerun.connect(_begin_task)
        signals.task_postrun.connect(_end_task)


def _begin_task(**_: Any) -> None:  # noqa: ANN401 - Celery's signature
    life.pulse().begin_task()


def _end_task(**_: Any) -> None:  # noqa: ANN401 - Celery's signature
    life.pulse().end_task()


@signals.celeryd_init.connect
def keep_children_from_sigterm(**_: Any) -> None:  # noqa: ANN401 - Celery's signature
    """Leave it to the worker alone, which lets its children finish what they do."""
    end_children_by_sigquit()


@signals.beat_init.connect
def end_beat(sender: Any, **_: Any) -> None:  # noqa: ANN401 - Celery's signature
    """Let no signal to end be lost; it comes after Celery's own handlers are in place."""
    end_beat_at_its_next_step(sender)


@signals.worker_process_init.connect
def leave_sigterm_to_the_worker(**_: Any) -> None:  # noqa: ANN401 - Celery's signature
    """Go on with what is under way when the whole process group is told to end."""
    ignore_sigterm()


@signals.celeryd_init.connect
def begin_life(sender: str, **_: Any) -> None:  # noqa: ANN401 - Celery's signature
    """Leave signs of life, and name the worker's connections, before there are any, and before it forks."""
    life.begin(settings, "worker", sender)


@signals.beat_init.connect
def begin_beats_life(**_: Any) -> None:  # noqa: ANN401 - Celery's signature
    """Do the same for beat, whose loop stands still while it waits for Redis: not for long, then."""
    life.begin(settings, "beat")
    app.conf.broker_transport_options = {**_TRANSPORT_OPTIONS, **_BEAT_TIMEOUTS}


@signals.celeryd_init.connect
def begin_logs(instance: Any, **_: Any) -> None:  # noqa: ANN401 - Celery's signature
    """Log what comes before Celery's handlers do, and print no drawing in front of lines that a program reads."""
    logs.configure(settings.log_format)
    instance.quiet = instance.quiet or settings.log_format == "json"
    warn_of_slips()


@signals.import_modules.connect
def prepare_flower(**_: Any) -> None:  # noqa: ANN401 - Celery's signature
    """Where this process is Flower, have it ask for the login wherever it shows something, and show what tasks did."""
    if "flower.app" in sys.modules:
        from workers import flower_internals  # noqa: PLC0415 - only where it runs is it installed for sure

        flower_internals.ask_for_the_login()
        flower_internals.show_arguments_and_results()


@signals.beat_init.connect
def warn_of_slips(**_: Any) -> None:  # noqa: ANN401 - Celery's signature
    """Say which of our variables are no settings."""
    for line in unknown_variables():
        log.warning("%s", line)


def _load() -> tuple[Settings, TracePlan | None, Celery]:
    try:
        settings, trace_plan = Settings.load(), TraceSettings.load().plan
        return settings, trace_plan, build(settings, trace_plan)
    except SettingsError as error:
        sys.exit(f"noteflow-hooks: {error}")


settings, trace_plan, app = _load()
