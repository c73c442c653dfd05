"""The server's way to Redis: tells the workers that events were committed, and never makes anybody wait for it.

What gets lost here costs time, not events: the relay finds whatever was committed and not dispatched.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from celery import Celery
from kombu import Exchange, Queue

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

log = logging.getLogger(__name__)

DISPATCH_TASK: Final = "noteflow.hooks.dispatch"
DISPATCH_QUEUE: Final = "dispatch"

#: The most ids in one message, and the least time from one message to the next.
_BATCH: Final = 500
_SPACING_S: Final = 0.01
#: From so many events a second on, fuller messages do more for everybody than earlier ones.
_BUSY_RATE: Final = 250.0
_BUSY_SPACING_S: Final = 0.025
#: How much the newest message counts in the running rate.
_NEWEST: Final = 0.1
#: After a failure, how long nothing is tried: each try may take both timeouts.
_PAUSE_S: Final = 1.0
_TIMEOUT_S: Final = 0.5
#: Ids that wait for the thread; more than this in a burst are left to the relay.
_BACKLOG: Final = 50_000


class Publisher:
    """Sends ``dispatch`` hints from one background thread: at once when idle, in batches when busy."""

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
        self._thread: threading.Thread | None = None

    def announce(self, event_ids: Sequence[UUID]) -> None:
        """Have the workers told of committed events. Returns at once and never raises."""
        with self._changed:
            if self._closing:
                return
            self._waiting.extend(event_ids)
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
            self._rate += _NEWEST * (len(batch) / max(started - last, self._spacing_s) - self._rate)
            last = started
            busy = max(self._spacing_s, _BUSY_SPACING_S) if self._rate >= _BUSY_RATE else self._spacing_s
            self._rest(started + (busy if self._sent(batch) else self._pause_s))

    def _next(self) -> list[UUID]:
        """Wait for ids and return up to a batch of them; nothing once closed and done."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            return [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]

    def _sent(self, batch: list[UUID]) -> bool:
        try:
            self._send([str(event_id) for event_id in batch])
        except Exception as error:  # noqa: BLE001 - whatever the broker's client raises, events must not be hurt by it
            self._failed(error)
            return False
        if self._away:
            self._away = False
            log.info("Redis takes hints again")
        return True

    def _failed(self, error: Exception) -> None:
        if not self._away:
            self._away = True
            log.warning("Redis takes no hints (%s); events are safe and wait for the relay", type(error).__name__)
        with self._changed:
            # The relay finds all of these by itself, once Redis is back.
            self._waiting.clear()

    def _rest(self, until: float) -> None:
        """Let ids gather until then; a closing publisher doesn't wait."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing, timeout=max(0.0, until - time.monotonic()))


def connect(redis_url: str) -> Publisher:
    """Make a publisher that sends through Celery, by the task's name, with timeouts that fit a server's thread."""
    app = Celery("noteflow-hooks-publisher", broker=redis_url, set_as_current=False)
    app.conf.update(
        task_queues=[Queue(DISPATCH_QUEUE, Exchange(""), routing_key=DISPATCH_QUEUE)],
        task_ignore_result=True,
        broker_pool_limit=1,
        broker_transport_options={"socket_timeout": _TIMEOUT_S, "socket_connect_timeout": _TIMEOUT_S},
    )
    # One try, no second: with retry off altogether kombu would wait for six seconds instead (CELERY #2.7 of 5.7).
    policy = {"max_retries": 0, "interval_start": 0, "interval_step": 0, "interval_max": 0}

    def send(event_ids: list[str]) -> None:
        app.send_task(DISPATCH_TASK, args=[event_ids], queue=DISPATCH_QUEUE, retry=True, retry_policy=policy)

    return Publisher(send)
