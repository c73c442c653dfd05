"""The dispatch task: a chunk it sends itself, unless its worker is one that makes no POSTs."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from redis import Redis

from noteflow_hooks.delivery.settler import Outcomes
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import ModuleType

    from noteflow_hooks.delivery.wake_ups import WakeUps

CHUNKS = [[uuid4(), uuid4()], [uuid4()]]


class Deliveries:
    """What a worker does with deliveries, all of them in the chunks above."""

    def __init__(self, chunks: Sequence[list[UUID]]) -> None:
        self.chunks = chunks
        self.sent: list[UUID] = []

    @property
    def deliveries(self) -> Deliveries:
        return self

    def dispatch(self, _: Sequence[UUID], *, wake_ups: WakeUps) -> int:
        for each in self.chunks:
            wake_ups.enqueue(each, if_room=False)
        return sum(map(len, self.chunks))

    def dispatch_and_deliver(self, _: Sequence[UUID], *, wake_ups: WakeUps) -> tuple[int, Outcomes]:
        *others, own = self.chunks or [[]]
        for each in others:
            wake_ups.enqueue(each, if_room=False)
        self.sent += own
        outcomes = Outcomes({"succeeded": len(own)})
        outcomes.sent = tuple(map(str, own))
        return sum(map(len, self.chunks)), outcomes


@pytest.fixture
def broker(redis_url: str) -> Iterator[Redis]:
    """The broker, with an empty queue."""
    with Redis.from_url(redis_url) as client:
        client.delete("deliver")
        yield client
        client.delete("deliver")


def queued(broker: Redis) -> list[list[UUID]]:
    """Return the ids of each message in the queue, the oldest first."""
    messages = [json.loads(each) for each in reversed(broker.lrange("deliver", 0, -1))]
    bodies = [json.loads(base64.b64decode(each["body"])) for each in messages]
    return [[UUID(text) for text in body[0][0]] for body in bodies]


def run(tasks: ModuleType, monkeypatch: pytest.MonkeyPatch, chunks: Sequence[list[UUID]]) -> tuple[str, list[UUID]]:
    """Run the task and return what it says and what it has sent."""
    deliveries = Deliveries(chunks)
    monkeypatch.setattr(tasks, "parts", lambda: deliveries)
    said: str = tasks.dispatch([str(uuid4())])
    return said, deliveries.sent


def test_a_chunk_is_sent_by_the_task_itself(tasks: ModuleType, broker: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others go to the queue."""
    assert run(tasks, monkeypatch, CHUNKS) == (f"3 deliveries: 1 succeeded; {CHUNKS[1][0]}", CHUNKS[1])
    until(lambda: queued(broker) == CHUNKS[:1], what="the first chunk is queued")


def test_a_worker_that_does_not_take_from_deliver_makes_no_post(
    tasks: ModuleType, broker: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator who gives queues to workers of their own says with that from where POSTs go out."""
    queues = tasks.app.amqp.queues
    monkeypatch.setattr(queues, "_consume_from", {"dispatch": queues["dispatch"]})
    assert run(tasks, monkeypatch, CHUNKS) == ("3 deliveries", [])
    until(lambda: queued(broker) == CHUNKS, what="both chunks are queued")


def test_an_event_that_nobody_subscribed_to_is_no_error(
    tasks: ModuleType, broker: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither is one that another task has taken along."""
    assert run(tasks, monkeypatch, []) == ("nothing to deliver", [])
    assert queued(broker) == []


def test_a_full_queue_takes_a_first_chunk_and_no_other(tasks: ModuleType, broker: Redis) -> None:
    """What there is no room for, those that top themselves up find."""
    wake_ups = tasks.TaskWakeUps()
    few, chunks = tasks.QUEUED_CHUNKS, [[uuid4()] for _ in range(tasks.QUEUED_CHUNKS + 3)]
    for each in chunks:
        wake_ups.enqueue(each, if_room=True)
    wake_ups.enqueue([last := uuid4()], if_room=False)
    until(lambda: queued(broker)[-1:] == [[last]], what="the one that is always taken is queued")
    assert queued(broker) == [*chunks[:few], [last]]
