"""How many tasks have nothing to do while a third of the endpoints fails, in time that the test moves."""

from __future__ import annotations

import heapq
import random
from datetime import timedelta
from itertools import count, pairwise
from typing import TYPE_CHECKING, Any, Final

from noteflow_hooks.delivery.retries import GatheredRetries
from noteflow_hooks.delivery.service import DeliveryService
from noteflow_hooks.delivery.tuning import RETRY_GATHER_S, RETRY_WINDOW, Clock
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
NOTHING: Final = ("nothing due", "nothing to deliver")
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
        self._messages: list[tuple[float, int, Callable[[], str]]] = []
        self.retries = GatheredRetries(self._send, most=50, monotonic=self.monotonic)
        self.collector = HeldCollector()
        retries: Any = self.retries
        retries._gathered = self.collector  # noqa: SLF001 - whose thread is the test
        self.failing = {self.system.subscribed(name=f"{number}") for number in range(ENDPOINTS // 3)}
        for number in range(ENDPOINTS - ENDPOINTS // 3):
            self.system.subscribed(name=f"well {number}")

    def monotonic(self) -> float:
        return (self.system.now - NOON).total_seconds()

    def run(self, *, events_per_s: int) -> None:
        """Publish at that rate, in steps of the time that retries are gathered for."""
        steps_per_event = round(1 / RETRY_GATHER_S / events_per_s)
        for step in range(round(SECONDS / RETRY_GATHER_S)):
            if step % steps_per_event == 0:
                ids = self.system.events(1)
                self.put(lambda ids=ids: self._dispatched(ids))  # type: ignore[misc]  # it has a default
            if step and step % round(5 / RETRY_GATHER_S) == 0:
                self._sweep()
            self._begin_due(self.monotonic() + RETRY_GATHER_S)
            group, self.collector.items[:] = list(self.collector.items), []
            self.retries._take(group)  # noqa: SLF001 - as its thread does

    def put(self, task: Callable[[], str], *, delay_s: float = 0.0) -> None:
        heapq.heappush(self._messages, (self.monotonic() + delay_s + LATENCY_S, next(self._order), task))

    # What a task may send: `WakeUps`.

    def enqueue(self, delivery_ids: list[UUID], *, if_room: bool) -> None:  # noqa: ARG002 - there is always room
        self.put(lambda: self._delivered(delivery_ids))

    def retry_later(self, delivery_ids: list[UUID], *, delay: timedelta) -> None:
        self.retries.put(delivery_ids, delay=delay)

    def wake(self, lane: Lane, *, delay: timedelta = AT_ONCE) -> None:
        self.put(lambda: self._delivered([], lane), delay_s=delay.total_seconds())

    def dispatch_more(self) -> None:
        self.put(lambda: self._dispatched([]))

    def _begin_due(self, ends_at: float) -> None:
        while self._messages and self._messages[0][0] <= ends_at:
            arrives, _, task = heapq.heappop(self._messages)
            self.system.pass_time(timedelta(seconds=max(0.0, arrives - self.monotonic())))
            self.results.append(task())
        self.system.pass_time(timedelta(seconds=max(0.0, ends_at - self.monotonic())))

    def _sweep(self) -> None:
        for chunk in self.system.rescue.overdue(by=timedelta(seconds=5), queued=0):
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


def test_few_tasks_have_nothing_to_do_while_a_third_of_the_endpoints_fails() -> None:
    """Below a tenth, by what the tasks say; and the attempts are as many as they say."""
    worker = Worker()
    worker.run(events_per_s=2)
    idle = sum(each in NOTHING for each in worker.results)
    assert idle < 0.1 * len(worker.results), worker.results
    assert len(worker.attempts) > 2 * SECONDS * ENDPOINTS * 2 / 3


def test_no_retry_is_later_for_the_messages_that_are_saved() -> None:
    """Each comes within its wait's jitter, the window that retries share, and what a message takes."""
    worker = Worker()
    worker.run(events_per_s=2)
    seen: dict[UUID, list[float]] = {}
    for delivery_id, moment in worker.attempts:
        seen.setdefault(delivery_id, []).append(moment)
    waits = [
        (number, later - earlier) for each in seen.values() for number, (earlier, later) in enumerate(pairwise(each))
    ]
    assert len(waits) > SECONDS
    slack = RETRY_WINDOW.total_seconds() + RETRY_GATHER_S + 2 * LATENCY_S
    assert [wait for number, wait in waits if not 0.8 * 2**number <= wait <= 1.2 * 2**number + slack] == []
