"""The tasks. Arguments are ids only, since Redis and Flower show them; what is returned are counts."""

from __future__ import annotations

import gc
import logging
import sys
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from celery import signals
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from noteflow_hooks import bootstrap
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
from noteflow_hooks.concurrency.sender import BackgroundSender
from noteflow_hooks.delivery.service import FLOW_HINTS, QUEUED_CHUNKS
from noteflow_hooks.domain.ports.maintenance import RELAY, SWEEP
from noteflow_hooks.errors import SettingsError, UnavailableError
from workers.app import app, settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celery import Task

log = logging.getLogger(__name__)

#: A database or broker that is away: said in a line, without a traceback, and tried again by relay and sweep.
AWAY = (UnavailableError, OperationalError, RedisError)

#: The longest that calls of the purge may follow each other, whatever a message says.
_PURGE_MOST_S = max(settings.purge_every_s, 3600.0)

hinter = BackgroundSender()
_lock = threading.Lock()
_parts: bootstrap.WorkerParts | None = None


@app.task(name=DISPATCH_TASK, throws=AWAY)
def dispatch(event_ids: list[str]) -> str:
    """Turn committed events into deliveries and hand those to the deliver queue, but for a chunk, sent here."""
    ids, deliveries, hints = named(event_ids), parts().deliveries, Hints()
    if DELIVER_QUEUE not in app.amqp.queues.consume_from:
        # Others of the operator's workers make the POSTs.
        made = sum(map(_hand_over, deliveries.dispatch(ids, hint=hints, room=_has_room_for_chunks)))
        return f"{made} deliveries" if made else "nothing to deliver"
    # A message for the one event of a quiet moment would cost it as much time as all else.
    made, done = deliveries.dispatch_and_deliver(ids, hand_over=hints.hand_over, hint=hints)
    return f"{made} deliveries: {done}" if made else "nothing to deliver"


# The row counts attempts, so Celery must not: its own limit is off.
@app.task(name=DELIVER_TASK, bind=True, max_retries=None, throws=AWAY)
def deliver(self: Task[[list[str]], str], delivery_ids: list[str]) -> str:
    """Send what is due, and hint again at what failed and waits for a short while."""
    deliveries, ids = parts().deliveries, named(delivery_ids)
    hints = Hints(retries=self.request.retries)
    came_by = (self.request.delivery_info or {}).get("routing_key")
    done = deliveries.deliver(ids, hint=hints, slow=came_by == SLOW_QUEUE)
    if self.request.retries and ids:
        for wait, early in deliveries.early(ids).items():
            hints(wait, early)
    return str(done)


@app.task(name=RELAY_TASK, throws=AWAY)
def relay() -> str:
    """Hint at events that were committed and not dispatched: their announcement was lost."""
    began = time.monotonic()
    grace = timedelta(seconds=settings.relay_after_s)
    hints = parts().deliveries.undispatched(older_than=grace, queued=_queued(DISPATCH_QUEUE))
    for chunk in hints:
        dispatch.delay(_texts(chunk))
    parts().task_runs.note(RELAY, took=timedelta(seconds=time.monotonic() - began))
    return f"{sum(map(len, hints))} events"


@app.task(name=SWEEP_TASK, throws=AWAY)
def sweep() -> str:
    """Take back what dead workers and servers held, and hint at deliveries that are overdue, or have a turn."""
    deliveries, began = parts().deliveries, time.monotonic()
    reclaimed = deliveries.reclaim_expired()
    # What comes due now has its own hint on the way; what was taken back has none.
    grace = timedelta(0) if reclaimed else timedelta(seconds=settings.sweep_every_s)
    queued = _queued(DELIVER_QUEUE)
    hints = deliveries.overdue(by=grace, queued=queued)
    for chunk in hints:
        deliver.delay(_texts(chunk))
    parts().check_clock()
    parts().end_abandoned()
    parts().advance_replays()
    turns, throttled_slow = deliveries.turns(queued=queued + len(hints), queued_slow=_queued(SLOW_QUEUE))
    for queue, count in ((DELIVER_QUEUE, turns), (SLOW_QUEUE, throttled_slow)):
        for _ in range(count):
            deliver.apply_async(([],), queue=queue)
    parts().task_runs.note(SWEEP, took=timedelta(seconds=time.monotonic() - began))
    return f"{reclaimed} taken back, {sum(map(len, hints))} overdue, {turns + throttled_slow} turns"


@app.task(name=PURGE_TASK, throws=AWAY)
def purge(left_s: float = settings.purge_every_s) -> str:
    """Erase and remove some of what is old, and while there is more go on after a rest, until beat calls again."""
    done = parts().purge()
    left_s = min(left_s, _PURGE_MOST_S) - (done.took + done.rest).total_seconds()
    if done.more and left_s > 0:
        # It rests as a message, not in this place: where a worker has only one, deliveries take it meanwhile.
        purge.apply_async((left_s,), countdown=done.rest.total_seconds())
    return str(done)


def parts() -> bootstrap.WorkerParts:
    """Return this process's parts, made on first use: after the fork, where there is one."""
    global _parts  # noqa: PLW0603 - a process has one set, and Celery gives tasks no other place for it
    with _lock:
        if _parts is None:
            _parts = bootstrap.worker(settings, _announce)
        return _parts


class Hints:
    """What one task hints at: Celery retries of ``deliver``, also when it has returned and late results come in.

    They go out on their own. Once one is refused, the sweep does the rest: a Redis that is away must not hold up
    results that are to be stored, nor POSTs whose leases run.
    """

    def __init__(self, *, retries: int = 0) -> None:
        """``retries`` is how many there have been before, as Celery counts them."""
        self._retries = retries

    def __call__(self, wait: timedelta, delivery_ids: list[UUID], *, slow: bool = False) -> None:
        """Hint at these deliveries after the wait; without any, at the turns of a lane."""
        due, queue = time.monotonic() + wait.total_seconds(), SLOW_QUEUE if slow else DELIVER_QUEUE
        is_wanted = bool(delivery_ids or wait)
        hinter.put(lambda: self._send(_texts(delivery_ids), queue, due) if is_wanted or _has_room(queue) else None)

    def hand_over(self, delivery_ids: list[UUID], *, if_room: bool) -> None:
        """Hint at a chunk of deliveries that nobody has hinted at before."""
        hinter.put(lambda: _hand_over(delivery_ids) if not if_room or _has_room_for_chunks() else None)

    def _send(self, texts: list[str], queue: str, due: float) -> None:
        # What Task.retry() sends, without its end of the task; and with a broker that refuses it, without its Reject.
        wait_s = due - time.monotonic()
        options: dict[str, Any] = {"countdown": wait_s if wait_s > 0 else None, "retries": self._retries + 1}
        deliver.apply_async((texts,), queue=queue, **options)


@signals.celeryd_init.connect
def check(**_: Any) -> None:  # noqa: ANN401 - Celery's signature
    """End a worker that could not do its work, before it takes messages from others that can."""
    try:
        settings.require("secret_keys")
        bootstrap.egress_policy(settings)
        bootstrap.refuse_pooler(settings)
    except SettingsError as error:
        sys.exit(f"noteflow-hooks: {error}")


@signals.worker_ready.connect
def spare_the_collector(**_: Any) -> None:  # noqa: ANN401 - Celery's signature
    """Leave what was imported out of collections: each would go through all of it, with every delivery waiting."""
    gc.collect()
    gc.freeze()


@signals.worker_shutdown.connect
@signals.worker_process_shutdown.connect
def close(**_: Any) -> None:  # noqa: ANN401 - Celery's signature
    """Close connections once the last task is done."""
    global _parts
    with _lock:
        ended, _parts = _parts, None
    if ended is not None:
        ended.close()
    # Behind the last results, which may have hinted at something.
    hinter.close()


def _announce(event_ids: Sequence[UUID]) -> None:
    # A hint like any other: the relay finds what it would have told of.
    hinter.put(lambda: dispatch.delay(_texts(event_ids)))


def named(given: object) -> list[UUID]:
    """Return what of a task's argument are ids. Others may write to Redis too; without any it takes what is due."""
    texts = given if isinstance(given, list) else []
    ids = [parsed for each in texts if (parsed := _parsed(each)) is not None]
    if len(ids) < len(texts) or texts is not given:
        log.warning("a hint names what is no id; %d of %d are", len(ids), len(texts))
    return ids


def _parsed(text: object) -> UUID | None:
    try:
        return UUID(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _texts(ids: Sequence[UUID]) -> list[str]:
    return [str(each) for each in ids]


def _hand_over(delivery_ids: list[UUID]) -> int:
    """Hint at deliveries and return how many they are."""
    deliver.delay(_texts(delivery_ids))
    return len(delivery_ids)


def _has_room_for_chunks() -> bool:
    """Tell whether one more chunk is worth queueing: a large fan-out must not fill everybody's queue."""
    return _queued(DELIVER_QUEUE) < QUEUED_CHUNKS


def _has_room(queue: str) -> bool:
    """Tell whether one more hint at turns is worth sending; those that wait take the same turns."""
    return _queued(queue) < FLOW_HINTS


def _queued(queue: str) -> int:
    return queue_depth(app, queue)
