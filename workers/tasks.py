"""The tasks. Arguments are ids only, since Redis and Flower show them; what is returned are counts."""

from __future__ import annotations

import gc
import logging
import sys
import threading
import time
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from celery import signals
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from noteflow_hooks import bootstrap
from noteflow_hooks.broker.kombu_internals import PreparedMessage, shown_arguments
from noteflow_hooks.broker.names import (
    DELIVER_QUEUE,
    DELIVER_TASK,
    DISPATCH_QUEUE,
    DISPATCH_TASK,
    PURGE_TASK,
    RELAY_TASK,
    SLOW_QUEUE,
    SWEEP_TASK,
)
from noteflow_hooks.broker.queue_depth import queue_depth
from noteflow_hooks.broker.redis_link import RedisLink
from noteflow_hooks.concurrency.ending import Ending
from noteflow_hooks.concurrency.outage import REDIS
from noteflow_hooks.concurrency.pulse import DONE, FAILED
from noteflow_hooks.concurrency.sender import BackgroundSender
from noteflow_hooks.delivery.retries import GatheredRetries
from noteflow_hooks.delivery.tuning import QUEUED_CHUNKS, QUEUED_WAKE_UPS, SENDER_MOST, SENDER_PAUSE_S
from noteflow_hooks.delivery.wake_ups import AT_ONCE, Lane
from noteflow_hooks.domain.ports.maintenance import PURGE, RELAY, SWEEP
from noteflow_hooks.errors import SettingsError, UnavailableError
from noteflow_hooks.telemetry import counting
from noteflow_hooks.telemetry.metrics import WAKE_UPS
from workers import life
from workers.app import app, settings, trace_plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celery import Task

    from noteflow_hooks.parts import WorkerParts
    from noteflow_hooks.telemetry.tracing import SpanRecorder

log = logging.getLogger(__name__)

#: A database or broker that is away: logged in a line, without a traceback, and tried again by relay and sweep.
AWAY = (UnavailableError, OperationalError, RedisError)

#: The longest that calls of the purge may follow each other, whatever a message says.
_PURGE_MOST_S = max(settings.purge_every_s, 3600.0)

#: So many more objects made than ended have the collector look for cycles; Python's 700 take 3 % of a worker's time.
_COLLECTED_AFTER: Final = 10_000
#: So many characters Celery shows of a result: counts, and a chunk's ids.
_RESULT_SHOWN: Final = 2_200
#: Each lane's queue.
_QUEUES: Final = {Lane.QUICK: DELIVER_QUEUE, Lane.SLOW: SLOW_QUEUE}

sender = BackgroundSender(
    most=SENDER_MOST,
    pause_s=SENDER_PAUSE_S,
    outage=REDIS,
    note=lambda lost: counting.count(WAKE_UPS, DELIVER_QUEUE, "lost", by=lost),
)
#: How long the background sender's thread waits for Redis.
_SENDER_TIMEOUT_S: Final = 5.0
retries = GatheredRetries(
    # What comes of it is late by what it waits for the sender, and no more.
    lambda delivery_ids, delay: _send_soon(delivery_ids, DELIVER_QUEUE, delay),
    most=settings.deliver_chunk,
    monotonic=time.monotonic,
)
#: Made before any fork, and shared with all processes of the worker.
ending = Ending()
_lock = threading.Lock()
#: The signs of life of the worker, which its children share; here for the price of one assignment a task.
_marks = life.pulse().marks
_parts: WorkerParts | None = None
#: What is told of what is traced; None where nothing is.
_recorder: SpanRecorder | None = None


@app.task(name=DISPATCH_TASK, throws=AWAY, resultrepr_maxsize=_RESULT_SHOWN)
def dispatch(event_ids: list[str]) -> str:
    """Turn committed events into deliveries and enqueue those, but for a chunk that is sent here."""
    ids, deliveries, wake_ups = parsed_ids(event_ids), parts().deliveries, TaskWakeUps()
    if DELIVER_QUEUE not in app.amqp.queues.consume_from:
        # Others of the operator's workers make the POSTs.
        made = deliveries.dispatch(ids, wake_ups=wake_ups)
        _marks[DONE] = time.monotonic()
        return f"{made} deliveries" if made else "nothing to deliver"
    # A message for the one event of a quiet moment would cost it as much time as all else.
    made, outcomes = deliveries.dispatch_and_deliver(ids, wake_ups=wake_ups)
    _marks[DONE] = time.monotonic()
    return f"{made} deliveries: {outcomes.shown()}" if made else "nothing to deliver"


# The row counts attempts, so Celery must not: its own limit is off.
@app.task(name=DELIVER_TASK, bind=True, max_retries=None, throws=AWAY, resultrepr_maxsize=_RESULT_SHOWN)
def deliver(self: Task[[list[str]], str], delivery_ids: list[str]) -> str:
    """Send what is due, and retry later what failed and waits for a short while."""
    deliveries, ids = parts().deliveries, parsed_ids(delivery_ids)
    wake_ups = TaskWakeUps()
    came_by = (self.request.delivery_info or {}).get("routing_key")
    outcomes = deliveries.deliver(ids, wake_ups=wake_ups, lane=Lane.SLOW if came_by == SLOW_QUEUE else Lane.QUICK)
    _marks[DONE] = time.monotonic()
    # What was sent has its next retry on its way already.
    named = {str(each): each for each in ids}
    if self.request.retries and (unsent := [named[each] for each in named.keys() - outcomes.sent]):
        for delay, early in deliveries.early(unsent).items():
            wake_ups.retry_later(early, delay=delay)
    return outcomes.shown(named)


@app.task(name=RELAY_TASK, throws=AWAY)
def relay() -> str:
    """Have events dispatched that were committed and not dispatched: their announcement was lost."""
    began = time.monotonic()
    grace = timedelta(seconds=settings.relay_after_s)
    chunks = parts().rescue.undispatched(older_than=grace, queued=_queued(DISPATCH_QUEUE))
    for chunk in chunks:
        _put(dispatch, chunk)
    parts().task_runs.note(RELAY, took=timedelta(seconds=time.monotonic() - began))
    _marks[DONE] = time.monotonic()
    return f"{sum(map(len, chunks))} events"


@app.task(name=SWEEP_TASK, throws=AWAY)
def sweep() -> str:
    """Reclaim what dead workers and servers held, and wake tasks for what is overdue or has a scheduling slot."""
    rescue, began = parts().rescue, time.monotonic()
    reclaimed = rescue.reclaim_expired()
    # What comes due now has its own message on the way; what was reclaimed has none.
    grace = timedelta(0) if reclaimed else timedelta(seconds=settings.sweep_every_s)
    queued = _queued(DELIVER_QUEUE)
    chunks = rescue.overdue(by=grace, queued=queued)
    for chunk in chunks:
        _put(deliver, chunk)
    parts().check_clock()
    parts().end_abandoned()
    parts().advance_replays()
    quick, slow = rescue.wake_ups(queued=queued + len(chunks), queued_slow=_queued(SLOW_QUEUE))
    for lane, count in ((Lane.QUICK, quick), (Lane.SLOW, slow)):
        for _ in range(count):
            deliver.apply_async(([],), queue=_QUEUES[lane])
    # Last: nobody waits for it.
    parts().tell_breakers()
    parts().send_mails()
    parts().roll_up()
    parts().task_runs.note(SWEEP, took=timedelta(seconds=time.monotonic() - began))
    _marks[DONE] = time.monotonic()
    return f"{reclaimed} reclaimed, {sum(map(len, chunks))} overdue, {quick + slow} slots"


@app.task(name=PURGE_TASK, throws=AWAY)
def purge(left_s: float = settings.purge_every_s) -> str:
    """Erase and remove some of what is old, and while there is more go on after a rest, until beat calls again."""
    # It has hours of time for what it tells days before.
    parts().tell_certificates()
    parts().write_digests()
    done = parts().purge()
    parts().task_runs.note(PURGE, took=done.took)
    _marks[DONE] = time.monotonic()
    left_s = min(left_s, _PURGE_MOST_S) - (done.took + done.rest).total_seconds()
    if done.more and left_s > 0:
        # It rests as a message, not in a slot of the worker: where that has only one, deliveries take it meanwhile.
        purge.apply_async((left_s,), countdown=done.rest.total_seconds())
    return str(done)


def parts() -> WorkerParts:
    """Return this process's parts, made on first use: after the fork, where there is one."""
    global _parts, _recorder  # noqa: PLW0603 - a process has one set, and Celery gives tasks no other place for it
    with _lock:
        if _parts is None:
            if trace_plan is not None:
                from workers.tracing import begun  # noqa: PLC0415 - where nothing is traced, nothing is imported

                _recorder = begun(trace_plan)
            counted = counting.figures()
            _parts = bootstrap.worker(
                settings, _announce, ending_since=lambda: ending.since, figures=counted, recorder=_recorder
            )
        return _parts


class TaskWakeUps:
    """What one task sends: Celery retries of ``deliver``, also when it has returned and late results come in.

    They go out on their own. Once one is refused, the sweep does the rest: a Redis that is away must not hold up
    results that are to be stored, nor POSTs whose leases run.
    """

    def enqueue(self, delivery_ids: list[UUID], *, if_room: bool) -> None:
        """Have another task send these, which no message has named before."""
        sender.put(lambda: _push(DELIVER_TASK, DELIVER_QUEUE, delivery_ids, most=QUEUED_CHUNKS if if_room else None))

    def retry_later(self, delivery_ids: list[UUID], *, delay: timedelta) -> None:
        """Have a task send these after the delay."""
        retries.put(delivery_ids, delay=delay)

    def wake(self, lane: Lane, *, delay: timedelta = AT_ONCE) -> None:
        """Have a task look, after the delay, for what the lane has."""
        queue = _QUEUES[lane]
        if delay:
            _send_soon([], queue, delay)
        else:
            # Those that wait in the queue at this moment look for the same.
            sender.put(lambda: None if _queued(queue) >= QUEUED_WAKE_UPS else _send([], queue, 0.0))

    def dispatch_more(self) -> None:
        """Have a task dispatch what waits."""
        sender.put(lambda: _push(DISPATCH_TASK, DISPATCH_QUEUE, [], most=QUEUED_WAKE_UPS))


def _put(task: Task[[list[str]], str], ids: Sequence[UUID]) -> None:
    texts = _texts(ids)
    options: dict[str, Any] = {"argsrepr": shown_arguments(texts)}
    task.apply_async((texts,), **options)


def _send_soon(delivery_ids: Sequence[UUID], queue: str, delay: timedelta) -> None:
    due = time.monotonic() + delay.total_seconds()
    sender.put(lambda: _send(_texts(delivery_ids), queue, due))


def _send(texts: list[str], queue: str, due: float) -> None:
    # What Task.retry() sends, without its end of the task; and with a broker that refuses it, without its Reject. The
    # row counts attempts; here any number says that it is no first message.
    wait_s = due - time.monotonic()
    options: dict[str, Any] = {"countdown": wait_s if wait_s > 0 else None, "retries": 1}
    options["argsrepr"] = shown_arguments(texts)
    deliver.apply_async((texts,), queue=queue, **options)
    counting.count(WAKE_UPS, queue, "sent")


@signals.celeryd_init.connect
def check(**_: Any) -> None:  # noqa: ANN401 - Celery's signature
    """End a worker that could not do its work, before it takes messages from others that can."""
    try:
        settings.require("secret_keys")
        bootstrap.egress_policy(settings)
        bootstrap.refuse_pooler(settings)
    except SettingsError as error:
        sys.exit(f"noteflow-hooks: {error}")


@signals.task_failure.connect
def note_failure(**_: Any) -> None:  # noqa: ANN401 - Celery's signature
    """Have probes see that this worker takes messages and gets nothing done, as without a database."""
    _marks[FAILED] = time.monotonic()


@signals.worker_ready.connect
def spare_the_collector(**_: Any) -> None:  # noqa: ANN401 - Celery's signature
    """Leave what was imported out of collections: each would go through all of it, with every delivery waiting.

    The rest is gone through after as many new objects as some hundred deliveries make; nearly all of those are gone by
    then without it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECTED_AFTER)


@signals.worker_shutting_down.connect
def wait_less(**_: Any) -> None:  # noqa: ANN401 - Celery's signature
    """Have results wait for seconds, not minutes, for a database that may never come back."""
    ending.note(time.monotonic())


@signals.worker_shutdown.connect
@signals.worker_process_shutdown.connect
def close(**_: Any) -> None:  # noqa: ANN401 - Celery's signature
    """Close connections once the last task is done."""
    global _parts
    with _lock:
        ended, _parts = _parts, None
    if ended is not None:
        ended.close()
        if _recorder is not None:
            _recorder.close()
    # Behind the last results, which may have woken something.
    retries.close()
    sender.close()


def _announce(event_ids: Sequence[UUID]) -> None:
    # A message like any other: the relay finds what it was about.
    sender.put(lambda: _push(DISPATCH_TASK, DISPATCH_QUEUE, event_ids))


def _push(task: str, queue: str, ids: Sequence[UUID], *, most: int | None = None) -> None:
    """Put a message into the queue, unless ``most`` wait there. To be called in the sender's thread alone."""
    # A large fan-out must not fill everybody's queue.
    if most is None or _link().length(queue) < most:
        _link().push(queue, _message(task, queue).about(_texts(ids)))
        counting.count(WAKE_UPS, queue, "sent")


@cache
def _link() -> RedisLink:
    return RedisLink(settings.redis, timeout_s=_SENDER_TIMEOUT_S)


@cache
def _message(task: str, queue: str) -> PreparedMessage:
    # Made on first use: after the fork, where there is one.
    return PreparedMessage(task, queue=queue)


def parsed_ids(argument: object) -> list[UUID]:
    """Return what of a task's argument are ids. Others may write to Redis too; without any it takes what is due."""
    texts = argument if isinstance(argument, list) else []
    ids = [parsed for each in texts if (parsed := _parsed(each)) is not None]
    if len(ids) < len(texts) or texts is not argument:
        log.warning("a message names what is no id; %d of %d are", len(ids), len(texts))
    return ids


def _parsed(text: object) -> UUID | None:
    try:
        return UUID(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _texts(ids: Sequence[UUID]) -> list[str]:
    return [str(each) for each in ids]


def _queued(queue: str) -> int:
    return queue_depth(app, queue)
