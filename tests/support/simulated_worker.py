"""A worker process in time that the test moves: its tasks, the messages to them, the retries it gathers, the sweep."""

from __future__ import annotations

import heapq
import random
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.delivery.retries import GatheredRetries
from noteflow_hooks.delivery.service import DeliveryService
from noteflow_hooks.delivery.tuning import RETRY_GATHER_S, Clock
from noteflow_hooks.delivery.wake_ups import AT_ONCE, Lane
from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.domain.retry import RetryPolicy
from tests.support.builders import NOON, an_attempt_result
from tests.support.delivery_system import FAILED, OK, System

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from noteflow_hooks.domain.deliveries import AttemptResult, Claim

ENDPOINTS: Final = 9
#: Until after the breakers of those that fail have opened.
SECONDS: Final = 12
#: The sweep's period.
SWEEP_S: Final = 5
#: How long a message is on its way.
LATENCY_S: Final = 0.01


class HeldCollector:
    """A batch collector whose thread is the test's."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.put = self.items.append


class Worker:
    """A worker process: its tasks, the messages on their way to them, and the retries that it gathers."""

    def __init__(self) -> None:
        draw = random.Random(7)
        self.system = System(threads=50, policy=RetryPolicy(), chunk=50)
        self.system.service = DeliveryService(
            self.system.store,
            self._answer,
            self.system.bulkhead,
            rules=self.system.rules,
            clock=Clock(monotonic=self.monotonic, sleep=lambda _: None, draw=draw.random),
        )
        self.results: list[str] = []
        self.attempts: list[tuple[UUID, float]] = []
        self._order = count()
        self._steps = 0
        self._messages: list[tuple[float, int, Callable[[], str]]] = []
        self.retries = GatheredRetries(self._send, most=50, monotonic=self.monotonic)
        self.collector = HeldCollector()
        retries: Any = self.retries
        retries._gathered = self.collector  # noqa: SLF001 - whose thread is the test
        self.failing = {self.system.subscribed(name=f"{number}") for number in range(ENDPOINTS // 3)}
        for number in range(ENDPOINTS - ENDPOINTS // 3):
            self.system.subscribed(name=f"well {number}")

    def monotonic(self) -> float:
        """Return the seconds since it began."""
        return (self.system.now - NOON).total_seconds()

    def run(self, *, events_per_s: int) -> None:
        """Publish at that rate."""
        for _ in range(SECONDS * events_per_s):
            self.publish()
            self.go_on(1 / events_per_s)

    def publish(self) -> None:
        """Store an event, and put its message into the queue."""
        ids = self.system.events(1)
        self.put(lambda: self._dispatched(ids))

    def go_on(self, seconds: float) -> None:
        """Let time pass, in steps of the time that retries are gathered for, with all that is to happen meanwhile."""
        for _ in range(round(seconds / RETRY_GATHER_S)):
            self._steps += 1
            if self._steps % round(SWEEP_S / RETRY_GATHER_S) == 0:
                self._sweep()
            self._begin_due(self.monotonic() + RETRY_GATHER_S)
            group, self.collector.items[:] = list(self.collector.items), []
            self.retries._take(group)  # noqa: SLF001 - as its thread does

    def die(self) -> None:
        """Lose what the process has gathered, and each message that it has taken and not begun."""
        self.collector.items.clear()
        self._messages.clear()

    def put(self, task: Callable[[], str], *, delay_s: float = 0.0) -> None:
        """Put a message into the queue, which arrives after the delay and what each takes."""
        heapq.heappush(self._messages, (self.monotonic() + delay_s + LATENCY_S, next(self._order), task))

    # What a task may send: `WakeUps`.

    def enqueue(self, delivery_ids: list[UUID], *, if_room: bool) -> None:  # noqa: ARG002 - there is always room
        """Have another task send these."""
        self.put(lambda: self._delivered(delivery_ids))

    def retry_later(self, delivery_ids: list[UUID], *, delay: timedelta) -> None:
        """Gather these with others."""
        self.retries.put(delivery_ids, delay=delay)

    def wake(self, lane: Lane, *, delay: timedelta = AT_ONCE) -> None:
        """Have a task look after the delay."""
        self.put(lambda: self._delivered([], lane), delay_s=delay.total_seconds())

    def dispatch_more(self) -> None:
        """Have a task dispatch what waits."""
        self.put(lambda: self._dispatched([]))

    def _begin_due(self, ends_at: float) -> None:
        while self._messages and self._messages[0][0] <= ends_at:
            arrives, _, task = heapq.heappop(self._messages)
            self.system.pass_time(timedelta(seconds=max(0.0, arrives - self.monotonic())))
            self.results.append(task())
        self.system.pass_time(timedelta(seconds=max(0.0, ends_at - self.monotonic())))

    def _sweep(self) -> None:
        self.system.rescue.reclaim_expired()
        for chunk in self.system.rescue.overdue(by=timedelta(seconds=SWEEP_S), queued=0):
            self.put(lambda chunk=chunk: self._delivered(chunk))  # type: ignore[misc]  # as above
        for _ in range(self.system.rescue.wake_ups(queued=0, queued_slow=0)[0]):
            self.put(lambda: self._delivered([]))

    def _send(self, ids: list[UUID], delay: timedelta) -> None:
        self.put(lambda: self._delivered(ids), delay_s=delay.total_seconds())

    def _dispatched(self, ids: list[UUID]) -> str:
        made, outcomes = self.system.service.dispatch_and_deliver(ids, wake_ups=self)
        return f"{made} deliveries: {outcomes}" if made else "nothing to deliver"

    def _delivered(self, ids: list[UUID], lane: Lane = Lane.QUICK) -> str:
        return str(self.system.service.deliver(ids, wake_ups=self, lane=lane))

    def _answer(self, claim: Claim) -> AttemptResult:
        self.attempts.append((claim.delivery.id, self.monotonic()))
        if claim.webhook.id not in self.failing:
            return OK
        return an_attempt_result(
            status_code=500, error_kind=ErrorKind.STATUS, error_message=FAILED.error_message, duration_ms=1
        )
