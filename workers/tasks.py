"""The tasks. Arguments are ids only, since Redis and Flower show them; what is returned are counts."""

from __future__ import annotations

import sys
import threading
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from celery import signals
from celery.exceptions import Reject
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from noteflow_hooks import bootstrap
from noteflow_hooks.errors import SettingsError, UnavailableError
from noteflow_hooks.publisher import DELIVER_QUEUE, DELIVER_TASK, DISPATCH_QUEUE, DISPATCH_TASK
from workers.app import RELAY_TASK, SWEEP_TASK, app, settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celery import Task

#: A database or broker that is away: said in a line, without a traceback, and tried again by relay and sweep.
AWAY = (UnavailableError, OperationalError, RedisError)

_lock = threading.Lock()
_parts: bootstrap.WorkerParts | None = None


@app.task(name=DISPATCH_TASK, throws=AWAY)
def dispatch(event_ids: list[str]) -> str:
    """Turn committed events into deliveries and hand those to the deliver queue."""
    made = 0
    for chunk in parts().deliveries.dispatch([UUID(event_id) for event_id in event_ids]):
        deliver.delay(_texts(chunk))
        made += len(chunk)
    return f"{made} deliveries"


# The row counts attempts, so Celery must not: its own limit is off.
@app.task(name=DELIVER_TASK, bind=True, max_retries=None, throws=AWAY)
def deliver(self: Task[[list[str]], str], delivery_ids: list[str]) -> str:
    """Send what is due, and hint again at what failed and waits for a short while."""
    deliveries, ids = parts().deliveries, [UUID(delivery_id) for delivery_id in delivery_ids]
    retries = Retries(self)
    done = deliveries.deliver(ids, hint=retries.hint)
    if self.request.retries:
        for wait, early in deliveries.early(ids).items():
            retries.hint(wait, early)
    return str(done)


@app.task(name=RELAY_TASK, throws=AWAY)
def relay() -> str:
    """Hint at events that were committed and not dispatched: their announcement was lost."""
    grace = timedelta(seconds=settings.relay_after_s)
    hints = parts().deliveries.undispatched(older_than=grace, queued=_queued(DISPATCH_QUEUE))
    for chunk in hints:
        dispatch.delay(_texts(chunk))
    return f"{sum(map(len, hints))} events"


@app.task(name=SWEEP_TASK, throws=AWAY)
def sweep() -> str:
    """Take back what dead workers and servers held, and hint at deliveries that are overdue."""
    taken_back = parts().deliveries.take_back()
    # What comes due now has its own hint on the way; what was taken back has none.
    grace = timedelta(0) if taken_back else timedelta(seconds=settings.sweep_every_s)
    hints = parts().deliveries.overdue(by=grace, queued=_queued(DELIVER_QUEUE))
    for chunk in hints:
        deliver.delay(_texts(chunk))
    parts().end_abandoned()
    return f"{taken_back} taken back, {sum(map(len, hints))} overdue"


def parts() -> bootstrap.WorkerParts:
    """Return this process's parts, made on first use: after the fork, where there is one."""
    global _parts  # noqa: PLW0603 - a process has one set, and Celery gives tasks no other place for it
    with _lock:
        if _parts is None:
            _parts = bootstrap.worker(settings, _announce)
        return _parts


class Retries:
    """Celery retries of one deliver task, sent as results come in; once one is refused, the sweep does the rest."""

    def __init__(self, task: Task[[list[str]], str]) -> None:
        self._task = task
        self._refused = False

    def hint(self, wait: timedelta, delivery_ids: Sequence[UUID]) -> None:
        """Hint at these deliveries after that wait."""
        if self._refused:
            return
        args, countdown = (_texts(delivery_ids),), wait.total_seconds()
        try:
            self._task.retry(args=args, countdown=countdown, throw=False, task_id=str(uuid4()))
        except Reject:
            # A Redis that is away must not hold up the results that are still to be stored.
            self._refused = True


@signals.celeryd_init.connect
def check(**_: Any) -> None:  # noqa: ANN401 - Celery's signature
    """End a worker that could not do its work, before it takes messages from others that can."""
    try:
        settings.require("secret_keys")
        bootstrap.egress_policy(settings)
    except SettingsError as error:
        sys.exit(f"noteflow-hooks: {error}")


@signals.worker_shutdown.connect
@signals.worker_process_shutdown.connect
def close(**_: Any) -> None:  # noqa: ANN401 - Celery's signature
    """Close connections once the last task is done."""
    global _parts
    with _lock:
        ended, _parts = _parts, None
    if ended is not None:
        ended.close()


def _announce(event_ids: Sequence[UUID]) -> None:
    # A hint like any other: the relay finds what it would have told of.
    with suppress(*AWAY):
        dispatch.delay(_texts(event_ids))


def _texts(ids: Sequence[UUID]) -> list[str]:
    return [str(each) for each in ids]


def _queued(queue: str) -> int:
    with app.connection_for_read() as connection:
        channel: Any = connection.default_channel  # the Redis transport's own, which has the client
        return int(channel.client.llen(queue))
