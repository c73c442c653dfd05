"""The server's way to Redis: tells the workers what was committed, and never makes anybody wait for it.

Who announces sends the message itself, over a connection that has nothing under way, which takes 50 µs and waits for
nothing. All else is a thread's: the answers, a new connection, what comes meanwhile, and pauses.
What gets lost here costs time and nothing else: the relay and the sweep find whatever waits.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

from redis.exceptions import RedisError

from noteflow_hooks.broker.kombu_internals import PreparedMessage
from noteflow_hooks.broker.names import DELIVER_QUEUE, DELIVER_TASK, DISPATCH_QUEUE, DISPATCH_TASK
from noteflow_hooks.broker.queue_depth import FULL
from noteflow_hooks.broker.redis_link import RedisLink
from noteflow_hooks.concurrency.outage import REDIS
from noteflow_hooks.domain.ports.delivery_store import EVENTS_PER_ROUND

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from noteflow_hooks.concurrency.outage import Outage
    from noteflow_hooks.redis_url import RedisAddress

#: While a message waits in the queue, whoever takes it takes along what is in the tables: the next one may come later.
_SPACING_S: Final = 0.005
#: From so many events a second on, fuller messages do more for everybody than earlier ones: by rate, the spacing.
_BUSY_SPACINGS_S: Final = ((600.0, 0.04), (300.0, 0.02))
#: From so many calls that wait in the server on, their own wait is so long that messages may be farther apart.
_LONG_BACKLOG: Final = 20
_BACKLOG_SPACING_S: Final = 0.1
#: The rate is that of about so many last seconds.
_RATE_OVER_S: Final = 0.3
#: How long nothing is tried after a failure. The relay runs as often and finds what was lost.
_PAUSE_S: Final = 5.0
#: A message with so many ids at the most is so short that to send it waits for nothing.
_FEW: Final = 25
#: How many ids wait for the thread; of a larger burst the oldest are left to the relay.
_MOST_WAITING: Final = 50_000


def _note_nothing(_: str) -> None:
    """Count nowhere what came of a message."""


def _begin_nothing(_: list[str]) -> None:
    """Leave it to the thread."""


class Publisher:
    """Sends one kind of wake-up: at once, and what comes while an answer is waited for with the next one.

    No timer runs while workers keep up. Only where messages wait, or at a high rate, are they spaced, and fuller.
    """

    def __init__(
        self,
        send: Callable[[list[str]], int],
        *,
        begin: Callable[[list[str]], Callable[[], int] | None] = _begin_nothing,
        pause_s: float = _PAUSE_S,
        outage: Outage = REDIS,
        note: Callable[[str], None] = _note_nothing,
    ) -> None:
        """``send`` puts one message into the queue and returns how many wait there, this one included.

        It may raise, and may block for as long as its own timeouts. ``begin`` does neither: it sends the message and
        returns what does the rest of ``send``, or None where it can't. ``note`` is told of each message that it was
        ``sent``, or ``lost``.
        """
        self._send = send
        self._begin = begin
        self._pause_s = pause_s
        self._outage = outage
        self._note = note
        self._waiting: deque[UUID] = deque(maxlen=_MOST_WAITING)
        #: Has something in it where the thread is to look; it is empty while the thread has nothing to do.
        self._woken: SimpleQueue[None] = SimpleQueue()
        #: Whoever has it may take from what waits, and send; the thread keeps it until there is nothing more to do.
        self._line = threading.Lock()
        #: What was sent and is not answered yet: how many ids, and what waits for the answer.
        self._begun: tuple[int, Callable[[], int]] | None = None
        self._starting = threading.Lock()
        self._closing = threading.Event()
        self._rate = 0.0
        self._last = time.monotonic()
        self._backlog: Callable[[], int] = lambda: 0
        self._thread: threading.Thread | None = None

    def announce(self, ids: Sequence[UUID]) -> None:
        """Have the workers told of these. Returns at once and never raises."""
        if self._closing.is_set():
            return
        self._waiting.extend(ids)
        if self._line.acquire(blocking=False):
            try:
                self._begin_one()
            finally:
                self._line.release()
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

    def _begin_one(self) -> None:
        """Send what waits, if it is little and nothing else is under way."""
        if self._begun is not None or not 0 < len(self._waiting) <= _FEW:
            return
        batch = self._next(most=_FEW)
        answer = self._begin([str(each) for each in batch])
        if answer is None:
            self._waiting.extendleft(reversed(batch))
        else:
            self._begun = (len(batch), answer)

    def _run(self) -> None:
        while True:
            with self._line:
                self._do_all()
            if self._closing.is_set() and not self._has_work():
                return
            self._woken.get()

    def _has_work(self) -> bool:
        return self._begun is not None or bool(self._waiting)

    def _do_all(self) -> None:
        """Send what waits, and before that wait for the answer to what somebody else has sent."""
        while self._has_work():
            if (begun := self._begun) is not None:
                self._begun = None
                count, answer = begun
            else:
                batch = self._next(most=EVENTS_PER_ROUND)
                count, answer = len(batch), partial(self._send, [str(each) for each in batch])
            self._note_rate(count)
            self._rest(self._sent(answer))

    def _next(self, *, most: int) -> list[UUID]:
        """Return some of what waits; only for who has the line, so that there are as many left."""
        return [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]

    def _note_rate(self, count: int) -> None:
        now = time.monotonic()
        self._rate = self._rate * math.exp((self._last - now) / _RATE_OVER_S) + count / _RATE_OVER_S
        self._last = now

    def _sent(self, answer: Callable[[], int]) -> float:
        """Have a message sent and answered, and return for how many seconds ids are to gather then."""
        try:
            queued = answer()
        except Exception as error:  # noqa: BLE001 - whatever the broker's client raises, no event is hurt by it
            self._failed(error)
            return self._pause_s
        self._note("sent")
        if self._outage.since is not None:
            self._outage.answered()
        return self._spacing(queued)

    def _spacing(self, queued: int) -> float:
        if self._backlog() >= _LONG_BACKLOG:
            return _BACKLOG_SPACING_S
        for rate, spacing_s in _BUSY_SPACINGS_S:
            if self._rate >= rate:
                return spacing_s
        return _SPACING_S if queued > 1 else 0.0

    def _failed(self, error: Exception) -> None:
        self._outage.refused(f"{type(error).__name__}: {error}")
        self._note("lost")
        # The relay and the sweep find all of these by themselves, once Redis is back.
        self._waiting.clear()

    def _rest(self, seconds: float) -> None:
        """Let ids gather; a closing publisher doesn't wait."""
        if seconds:
            self._closing.wait(seconds)


class QueueSender:
    """Puts messages that start one task into its queue, over a connection of its own. For one thread at a time."""

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

    def begin(self, ids: list[str]) -> Callable[[], int] | None:
        """Send the message and return what does the rest of :meth:`send`; None where that is to do all of it."""
        if self._queued >= self._full:
            return None
        try:
            answer = self._link.begin_push(self._queue, self._message.about(ids))
        except RedisError:
            return None
        return partial(self._noted, answer) if answer is not None else None

    def _noted(self, answer: Callable[[], int]) -> int:
        self._queued = answer()
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


def connect(address: RedisAddress, *, note: Callable[[str, str], None] | None = None) -> Publishers:
    """Make publishers that send what Celery would, by the tasks' names, with timeouts that fit a server's thread.

    ``note`` is told of each message its queue and whether it was ``sent`` or ``lost``.
    """

    def publisher(task: str, queue: str) -> Publisher:
        sender = QueueSender(address, task=task, queue=queue)
        return Publisher(sender.send, begin=sender.begin, note=partial(note, queue) if note else _note_nothing)

    return Publishers(publisher(DISPATCH_TASK, DISPATCH_QUEUE), publisher(DELIVER_TASK, DELIVER_QUEUE))
