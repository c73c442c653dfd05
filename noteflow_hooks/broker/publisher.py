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
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

from noteflow_hooks.broker.kombu_internals import PreparedMessage
from noteflow_hooks.broker.names import DELIVER_QUEUE, DELIVER_TASK, DISPATCH_QUEUE, DISPATCH_TASK
from noteflow_hooks.broker.queue_depth import FULL
from noteflow_hooks.broker.redis_link import RedisLink
from noteflow_hooks.domain.ports.delivery_store import EVENTS_PER_ROUND

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from noteflow_hooks.broker.redis_url import RedisAddress

log = logging.getLogger(__name__)

#: While a message waits in the queue, whoever takes it takes along what is in the tables: the next one may come later.
_SPACING_S: Final = 0.005
#: From so many events a second on, fuller messages do more for everybody than earlier ones.
_BUSY_RATE: Final = 400.0
_BUSY_SPACING_S: Final = 0.02
#: From so many calls that wait in the server on, their own wait is so long that messages may be farther apart.
_LONG_BACKLOG: Final = 20
_BACKLOG_SPACING_S: Final = 0.1
#: The rate is that of about the last second.
_RATE_OVER_S: Final = 1.0
#: How long nothing is tried after a failure. The relay runs as often and finds what was lost.
_PAUSE_S: Final = 5.0
#: How many ids wait for the thread; of a larger burst the oldest are left to the relay.
_MOST_WAITING: Final = 50_000


class Publisher:
    """Sends one kind of wake-up from a background thread: at once, with all that came while the last one was sent.

    No timer runs while workers keep up. Only where messages wait, or at a high rate, are they spaced, and fuller.
    """

    def __init__(self, send: Callable[[list[str]], int], *, pause_s: float = _PAUSE_S) -> None:
        """``send`` puts one message into the queue and returns how many wait there, this one included.

        It may raise, and may block for as long as its own timeouts.
        """
        self._send = send
        self._pause_s = pause_s
        self._waiting: deque[UUID] = deque(maxlen=_MOST_WAITING)
        #: Has something in it where the thread is to look; it is empty while the thread has nothing to do.
        self._woken: SimpleQueue[None] = SimpleQueue()
        self._starting = threading.Lock()
        self._closing = threading.Event()
        self._away = False
        self._rate = 0.0
        self._last = time.monotonic()
        self._backlog: Callable[[], int] = lambda: 0
        self._thread: threading.Thread | None = None

    def announce(self, ids: Sequence[UUID]) -> None:
        """Have the workers told of these. Returns at once and never raises."""
        if self._closing.is_set():
            return
        self._waiting.extend(ids)
        if self._thread is None:
            self._start()
        # While the thread sends or rests it wakes for nobody, and takes nothing of the caller's time.
        if self._woken.empty():
            self._woken.put(None)

    def report_backlog(self, backlog: Callable[[], int]) -> None:
        """Have ``backlog`` tell how many calls wait in the server; while many do, messages are fuller and fewer."""
        self._backlog = backlog

    def close(self, *, timeout_s: float = 2.0) -> None:
        """Send what waits, if that takes no longer than this, and end the thread."""
        self._closing.set()
        self._woken.put(None)
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="publisher", daemon=True)
                thread.start()
                self._thread = thread

    def _run(self) -> None:
        while batch := self._next():
            self._note_rate(len(batch))
            self._rest(self._sent(batch))

    def _next(self) -> list[UUID]:
        """Wait for ids and return up to a batch of them; nothing once closed and done."""
        while not (self._waiting or self._closing.is_set()):
            self._woken.get()
        # None but this thread takes any, so that there are as many left.
        return [self._waiting.popleft() for _ in range(min(EVENTS_PER_ROUND, len(self._waiting)))]

    def _note_rate(self, count: int) -> None:
        now = time.monotonic()
        self._rate = self._rate * math.exp((self._last - now) / _RATE_OVER_S) + count / _RATE_OVER_S
        self._last = now

    def _sent(self, batch: list[UUID]) -> float:
        """Send a message and return for how many seconds ids are to gather then."""
        try:
            queued = self._send([str(each) for each in batch])
        except Exception as error:  # noqa: BLE001 - whatever the broker's client raises, no event is hurt by it
            self._failed(error)
            return self._pause_s
        if self._away:
            self._away = False
            log.info("Redis takes wake-ups again")
        return self._spacing(queued)

    def _spacing(self, queued: int) -> float:
        if self._backlog() >= _LONG_BACKLOG:
            return _BACKLOG_SPACING_S
        if self._rate >= _BUSY_RATE:
            return _BUSY_SPACING_S
        return _SPACING_S if queued > 1 else 0.0

    def _failed(self, error: Exception) -> None:
        if not self._away:
            self._away = True
            log.warning(
                "Redis takes no wake-ups (%s); what was committed is safe and waits for the relay", type(error).__name__
            )
        # The relay and the sweep find all of these by themselves, once Redis is back.
        self._waiting.clear()

    def _rest(self, seconds: float) -> None:
        """Let ids gather; a closing publisher doesn't wait."""
        if seconds:
            self._closing.wait(seconds)


class QueueSender:
    """Puts messages that start one task into its queue, over a connection of its own. For one thread."""

    def __init__(self, address: RedisAddress, *, task: str, queue: str, full: int = FULL) -> None:
        """From ``full`` messages on the queue is full."""
        self._link = RedisLink(address)
        self._message = PreparedMessage(task, queue=queue)
        self._queue = queue
        self._full = full
        self._queued = 0

    def send(self, ids: list[str]) -> int:
        """Put a message with these ids into the queue and return how many wait there; raise redis-py's errors.

        None is put into a queue that is full: each of those that wait takes along what is in the tables, and workers
        that come back after Redis did would find a message for each moment that they were away.
        """
        if self._queued >= self._full:
            self._queued = self._link.length(self._queue)
        if self._queued < self._full:
            self._queued = self._link.push(self._queue, self._message.about(ids))
        return self._queued


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
    """Make publishers that send what Celery would, by the tasks' names, with timeouts that fit a server's thread."""
    events = QueueSender(address, task=DISPATCH_TASK, queue=DISPATCH_QUEUE)
    deliveries = QueueSender(address, task=DELIVER_TASK, queue=DELIVER_QUEUE)
    return Publishers(Publisher(events.send), Publisher(deliveries.send))
