"""What the exporter shows of Redis and of the workers behind it, asked every few seconds in a thread of its own."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from noteflow_hooks.broker.names import QUEUES
from noteflow_hooks.broker.queue_depth import queue_depth
from noteflow_hooks.errors import UnavailableError
from noteflow_hooks.exporter import metrics

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from noteflow_hooks.redis_url import RedisAddress
    from noteflow_hooks.telemetry.collecting import Rows
    from noteflow_hooks.telemetry.metrics import Metric

log = logging.getLogger(__name__)

#: How long an answer of a worker is waited for.
_PING_S: Final = 1.5
#: A worker that has answered within this and answers no more is silent; later it is forgotten.
_REMEMBERED_S: Final = 600.0
#: Whose queues hold messages, and who has begun none for so long, is stuck.
_STUCK_S: Final = 30.0
_OPTIONS: Final = {
    "socket_timeout": 2.0, "socket_connect_timeout": 2.0, "max_retries": 1,
    "interval_start": 0, "interval_step": 0, "interval_max": 0,
}  # fmt: skip


class Progress:
    """Whether each worker that answers begins tasks, or has none to begin."""

    def __init__(self) -> None:
        #: How many tasks each had begun, since when it is so many, and when it last answered.
        self._workers: dict[str, tuple[int, float, float]] = {}
        self._silent: set[str] = set()

    def note(
        self, begun: Mapping[str, int], taken: Mapping[str, Sequence[str]], lengths: Mapping[str, int], *, now: float
    ) -> dict[str, int]:
        """Take note of who answers, and return how many workers are in each state; who falls silent is logged."""
        states = {"taking": 0, "stuck": 0, "silent": 0}
        for name, count in begun.items():
            former = self._workers.get(name)
            has_work = any(lengths.get(queue) for queue in taken.get(name, ()))
            since = former[1] if former is not None and former[0] == count and has_work else now
            self._workers[name] = (count, since, now)
            states["stuck" if now - since >= _STUCK_S else "taking"] += 1
        for name, (_, _, seen) in list(self._workers.items()):
            if now - seen >= _REMEMBERED_S:
                del self._workers[name]
            elif name not in begun:
                states["silent"] += 1
        self._tell(self._workers.keys() - begun.keys(), answering=begun)
        return states

    def _tell(self, silent: set[str], *, answering: Mapping[str, int]) -> None:
        for name in sorted(silent - self._silent):
            log.warning("worker %s answers no more: it was ended, is frozen, or has lost its way to Redis", name)
        for name in sorted(self._silent & answering.keys()):
            log.info("worker %s answers again", name)
        self._silent = silent


class BrokerLooks:
    """Asks Redis and the workers. Whatever does not answer, or refuses, raises :class:`UnavailableError`."""

    def __init__(self, address: RedisAddress) -> None:
        """Nothing is asked yet."""
        self._app = Celery("noteflow-hooks-exporter", set_as_current=False)
        self._app.conf.update(address.celery_options)
        self._app.conf.broker_transport_options = _OPTIONS
        self._progress = Progress()

    def look(self) -> Mapping[Metric, Rows]:
        """Return the rows of each metric, in three seconds: so long the workers have to answer."""
        try:
            lengths = {queue: queue_depth(self._app, queue) for queue in QUEUES}
            inspect: Any = self._app.control.inspect(timeout=_PING_S)
            queues, stats = inspect.active_queues() or {}, inspect.stats() or {}
        except (OperationalError, RedisError, OSError) as error:
            raise UnavailableError(f"Redis does not answer, or refuses: {error}") from None
        taken = {name: [queue["name"] for queue in each] for name, each in queues.items()}
        begun = {name: sum(each.get("total", {}).values()) for name, each in stats.items()}
        states = self._progress.note(begun, taken, lengths, now=time.monotonic())
        consumers = {queue: sum(queue in each for each in taken.values()) for queue in QUEUES}
        return {
            metrics.QUEUED: {(queue,): length for queue, length in lengths.items()},
            metrics.CONSUMERS: {(queue,): count for queue, count in consumers.items()},
            metrics.WORKERS: {(state,): count for state, count in states.items()},
        }
