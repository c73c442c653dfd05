"""The tasks. Arguments are ids only, since Redis and Flower show them; what is returned are counts."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from celery import signals
from kombu.exceptions import OperationalError

from noteflow_hooks import bootstrap
from noteflow_hooks.errors import UnavailableError
from noteflow_hooks.publisher import DELIVER_QUEUE, DELIVER_TASK, DISPATCH_QUEUE, DISPATCH_TASK
from workers.app import RELAY_TASK, SWEEP_TASK, app, settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celery import Task

#: A database or broker that is away: said in a line, without a traceback, and tried again by relay and sweep.
AWAY = (UnavailableError, OperationalError)

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
    done = deliveries.deliver(ids)
    early = deliveries.early(ids) if self.request.retries else {}
    for wait, waiting in (*done.retries.items(), *early.items()):
        self.retry(args=(_texts(waiting),), countdown=wait.total_seconds(), throw=False, task_id=str(uuid4()))
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
    parts().end_abandoned()
    # What comes due now has its own hint on the way; what was taken back has none.
    grace = timedelta(0) if taken_back else timedelta(seconds=settings.sweep_every_s)
    hints = parts().deliveries.overdue(by=grace, queued=_queued(DELIVER_QUEUE))
    for chunk in hints:
        deliver.delay(_texts(chunk))
    return f"{taken_back} taken back, {sum(map(len, hints))} overdue"


def parts() -> bootstrap.WorkerParts:
    """Return this process's parts, made on first use: after the fork, where there is one."""
    global _parts  # noqa: PLW0603 - a process has one set, and Celery gives tasks no other place for it
    with _lock:
        if _parts is None:
            _parts = bootstrap.worker(settings, _announce)
        return _parts


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
    dispatch.delay(_texts(event_ids))


def _texts(ids: Sequence[UUID]) -> list[str]:
    return [str(each) for each in ids]


def _queued(queue: str) -> int:
    with app.connection_for_read() as connection:
        channel: Any = connection.default_channel  # the Redis transport's own, which has the client
        return int(channel.client.llen(queue))
