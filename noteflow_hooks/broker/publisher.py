"""The server's way to Redis: tells the workers what was committed, and never makes anybody wait for it.

What gets lost here costs time and nothing else: the relay and the sweep find whatever waits.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from celery import Celery
from kombu import Exchange, Queue

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

log = logging.getLogger(__name__)

DISPATCH_TASK: Final = "noteflow.hooks.dispatch"
DISPATCH_QUEUE: Final = "dispatch"
DELIVER_TASK: Final = "noteflow.hooks.deliver"
DELIVER_QUEUE: Final = "deliver"

#: The most ids in one message, and the least time from one message to the next.
_BATCH: Final = 500
_SPACING_S: Final = 0.01
#: From so many events a second on, fuller messages do more for everybody than earlier ones.
_BUSY_RATE: Final = 250.0
_BUSY_SPACING_S: Final = 0.025
#: While so many calls wait for their turn in the server, an event's own wait for its hint is no matter any more.
_CROWD: Final = 20
_CROWDED_SPACING_S: Final = 0.1
#: How long a message waits for its event's own call to end.
_COURTESY_S: Final = 0.001
#: The rate is that of about the last second.
_RATE_OVER_S: Final = 1.0
#: After a failure, how long nothing is tried, which costs processor and calls: the relay comes by as often.
_PAUSE_S: Final = 5.0
_TIMEOUT_S: Final = 0.5
#: So many messages wait in a queue at the most, and so many are sent between two looks at its length.
_QUEUED: Final = 100
_LOOK_EVERY: Final = 20
#: Ids that wait for the thread; more than this in a burst are left to the relay.
_BACKLOG: Final = 50_000


class Publisher:
    """Sends one kind of hint from a background thread: at once when idle, in batches when busy."""

    def __init__(
        self, send: Callable[[list[str]], None], *, spacing_s: float = _SPACING_S, pause_s: float = _PAUSE_S
    ) -> None:
        """``send`` puts one message into the queue; it may raise, and may block for as long as its own timeouts."""
        self._send = send
        self._spacing_s = spacing_s
        self._pause_s = pause_s
        self._waiting: deque[UUID] = deque(maxlen=_BACKLOG)
        self._changed = threading.Condition()
        self._closing = False
        self._away = False
        self._rate = 0.0
        #: How many calls wait in the server; whoever knows may put its answer here.
        self.crowd: Callable[[], int] = lambda: 0
        self._thread: threading.Thread | None = None

    def announce(self, ids: Sequence[UUID]) -> None:
        """Have the workers told of these. Returns at once and never raises."""
        with self._changed:
            if self._closing:
                return
            self._waiting.extend(ids)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self, *, timeout_s: float = 2.0) -> None:
        """Send what waits, if that takes no longer than this, and end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        last = time.monotonic()
        while batch := self._next():
            started = time.monotonic()
            self._rate *= math.exp((last - started) / _RATE_OVER_S)
            self._rate += len(batch) / _RATE_OVER_S
            last = started
            self._rest(started + (self._spacing() if self._sent(batch) else self._pause_s))

    def _spacing(self) -> float:
        if self.crowd() >= _CROWD:
            return _CROWDED_SPACING_S
        return _BUSY_SPACING_S if self._rate >= _BUSY_RATE else self._spacing_s

    def _next(self) -> list[UUID]:
        """Wait for ids and return up to a batch of them; nothing once closed and done."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
        # The call that announced it answers first: both at once would take turns with Python's lock.
        time.sleep(_COURTESY_S)
        with self._changed:
            return [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]

    def _sent(self, batch: list[UUID]) -> bool:
        try:
            self._send([str(each) for each in batch])
        except Exception as error:  # noqa: BLE001 - whatever the broker's client raises, no event is hurt by it
            self._failed(error)
            return False
        if self._away:
            self._away = False
            log.info("Redis takes hints again")
        return True

    def _failed(self, error: Exception) -> None:
        if not self._away:
            self._away = True
            log.warning(
                "Redis takes no hints (%s); what was committed is safe and waits for the relay", type(error).__name__
            )
        with self._changed:
            # The relay and the sweep find all of these by themselves, once Redis is back.
            self._waiting.clear()

    def _rest(self, until: float) -> None:
        """Let ids gather until then; a closing publisher doesn't wait."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing, timeout=max(0.0, until - time.monotonic()))


@dataclass(frozen=True, slots=True)
class Publishers:
    """The server's two kinds of hints."""

    #: Hints at events that were committed.
    events: Publisher
    #: Hints at deliveries that are due, since someone wants them sent again.
    deliveries: Publisher

    def watch(self, crowd: Callable[[], int]) -> None:
        """Have a function tell how many calls wait in the server."""
        self.events.crowd = crowd

    def close(self) -> None:
        """Send what waits, if that is quick, and end the threads."""
        self.events.close()
        self.deliveries.close()


class _Crowd:
    """Whether so many messages wait that one more says nothing new: each takes along what else waits in the tables.

    Workers that come back after Redis did would find a message for each moment that they were away.
    """

    def __init__(self, app: Celery, queue: str) -> None:
        self._app = app
        self._queue = queue
        self._asked_for = 0
        self._is_there = False

    def is_there(self) -> bool:
        """Tell; asks Redis now and then, and while it is so each time."""
        self._asked_for += 1
        if self._is_there or self._asked_for % _LOOK_EVERY == 0:
            pool: Any = self._app.pool  # of connections, whatever the types say
            with pool.acquire(block=True) as connection:
                self._is_there = connection.default_channel.client.llen(self._queue) >= _QUEUED
        return self._is_there


def connect(redis_url: str) -> Publishers:
    """Make publishers that send through Celery, by the tasks' names, with timeouts that fit a server's thread."""
    app = Celery("noteflow-hooks-publisher", broker=redis_url, set_as_current=False)
    app.conf.update(
        task_queues=[Queue(name, Exchange(""), routing_key=name) for name in (DISPATCH_QUEUE, DELIVER_QUEUE)],
        task_ignore_result=True,
        broker_transport_options={
            "socket_timeout": _TIMEOUT_S,
            "socket_connect_timeout": _TIMEOUT_S,
            # Who looks at a queue's length while Redis is away is told so at once; kombu's default takes six seconds.
            "max_retries": 1,
            "interval_start": 0,
            "interval_step": 0.2,
            "interval_max": 0.2,
        },
    )
    # One try and no second. With retry off altogether kombu 5.7 would wait six seconds for a broker that is away.
    policy = {"max_retries": 0, "interval_start": 0, "interval_step": 0, "interval_max": 0}

    def sender(task: str, queue: str) -> Publisher:
        crowd = _Crowd(app, queue)

        def send(ids: list[str]) -> None:
            if not crowd.is_there():
                app.send_task(task, args=[ids], queue=queue, retry=True, retry_policy=policy)

        return Publisher(send)

    return Publishers(sender(DISPATCH_TASK, DISPATCH_QUEUE), sender(DELIVER_TASK, DELIVER_QUEUE))
