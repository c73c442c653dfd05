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
from typing import TYPE_CHECKING, Final

from celery import Celery
from kombu import Exchange, Queue

from noteflow_hooks.broker.names import DELIVER_QUEUE, DELIVER_TASK, DISPATCH_QUEUE, DISPATCH_TASK
from noteflow_hooks.broker.queue_depth import QueueBackpressure
from noteflow_hooks.domain.ports.delivery_store import EVENTS_PER_ROUND

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from noteflow_hooks.broker.redis_url import RedisAddress

log = logging.getLogger(__name__)

#: The least time from one message to the next.
_SPACING_S: Final = 0.01
#: From so many events a second on, fuller messages do more for everybody than earlier ones.
_BUSY_RATE: Final = 250.0
_BUSY_SPACING_S: Final = 0.025
#: From so many calls that wait in the server on, their own wait is so long that messages may be farther apart.
_LONG_BACKLOG: Final = 20
_BACKLOG_SPACING_S: Final = 0.1
#: How long a message waits, so that the call that announced its event can be answered first.
_ANSWER_FIRST_S: Final = 0.001
#: The rate is that of about the last second.
_RATE_OVER_S: Final = 1.0
#: How long nothing is tried after a failure. The relay runs as often and finds what was lost.
_PAUSE_S: Final = 5.0
_TIMEOUT_S: Final = 0.5
#: How many ids wait for the thread; of a larger burst the oldest are left to the relay.
_MOST_WAITING: Final = 50_000
_TRANSPORT_OPTIONS: Final[dict[str, float]] = {
    "socket_timeout": _TIMEOUT_S,
    "socket_connect_timeout": _TIMEOUT_S,
    # Who asks for a queue's length while Redis is away is refused at once; kombu's default takes six seconds.
    "max_retries": 1,
    "interval_start": 0,
    "interval_step": 0.2,
    "interval_max": 0.2,
}
#: One try and no second. With retry off altogether kombu 5.7 would wait six seconds for a broker that is away.
_ONE_TRY: Final[dict[str, float]] = {"max_retries": 0, "interval_start": 0, "interval_step": 0, "interval_max": 0}


class Publisher:
    """Sends one kind of wake-up from a background thread: at once when idle, in batches when busy."""

    def __init__(
        self, send: Callable[[list[str]], None], *, spacing_s: float = _SPACING_S, pause_s: float = _PAUSE_S
    ) -> None:
        """``send`` puts one message into the queue; it may raise, and may block for as long as its own timeouts."""
        self._send = send
        self._spacing_s = spacing_s
        self._pause_s = pause_s
        self._waiting: deque[UUID] = deque(maxlen=_MOST_WAITING)
        self._changed = threading.Condition()
        self._closing = False
        self._away = False
        self._rate = 0.0
        self._backlog: Callable[[], int] = lambda: 0
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

    def report_backlog(self, backlog: Callable[[], int]) -> None:
        """Have ``backlog`` tell how many calls wait in the server; while many do, messages are fuller and fewer."""
        self._backlog = backlog

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
        if self._backlog() >= _LONG_BACKLOG:
            return _BACKLOG_SPACING_S
        return _BUSY_SPACING_S if self._rate >= _BUSY_RATE else self._spacing_s

    def _next(self) -> list[UUID]:
        """Wait for ids and return up to a batch of them; nothing once closed and done."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
        # Were both to go on at once, they would slow each other down at Python's global lock.
        time.sleep(_ANSWER_FIRST_S)
        with self._changed:
            return [self._waiting.popleft() for _ in range(min(EVENTS_PER_ROUND, len(self._waiting)))]

    def _sent(self, batch: list[UUID]) -> bool:
        try:
            self._send([str(each) for each in batch])
        except Exception as error:  # noqa: BLE001 - whatever the broker's client raises, no event is hurt by it
            self._failed(error)
            return False
        if self._away:
            self._away = False
            log.info("Redis takes wake-ups again")
        return True

    def _failed(self, error: Exception) -> None:
        if not self._away:
            self._away = True
            log.warning(
                "Redis takes no wake-ups (%s); what was committed is safe and waits for the relay", type(error).__name__
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
    """The server's two kinds of wake-ups."""

    #: For events that were committed.
    events: Publisher
    #: For deliveries that are due because someone wants them sent again.
    deliveries: Publisher

    def report_backlog(self, backlog: Callable[[], int]) -> None:
        """Have ``backlog`` tell how many calls wait in the server."""
        self.events.report_backlog(backlog)

    def close(self) -> None:
        """Send what waits, if that is quick, and end the threads."""
        self.events.close()
        self.deliveries.close()


def connect(address: RedisAddress) -> Publishers:
    """Make publishers that send through Celery, by the tasks' names, with timeouts that fit a server's thread."""
    app = Celery("noteflow-hooks-publisher", set_as_current=False)
    app.conf.update(
        **address.celery_options,
        task_queues=[Queue(name, Exchange(""), routing_key=name) for name in (DISPATCH_QUEUE, DELIVER_QUEUE)],
        task_ignore_result=True,
        broker_transport_options=_TRANSPORT_OPTIONS,
    )
    events = _publisher(app, DISPATCH_TASK, queue=DISPATCH_QUEUE)
    return Publishers(events, _publisher(app, DELIVER_TASK, queue=DELIVER_QUEUE))


def _publisher(app: Celery, task: str, *, queue: str) -> Publisher:
    backpressure = QueueBackpressure(app, queue)

    def send(ids: list[str]) -> None:
        if not backpressure.is_full():
            app.send_task(task, args=[ids], queue=queue, retry=True, retry_policy=_ONE_TRY)

    return Publisher(send)
