"""The server's wake-ups and a queue that nobody takes from: it stops growing, and goes on when somebody does."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from redis import Redis

from noteflow_hooks.broker import publisher
from noteflow_hooks.broker.names import DISPATCH_QUEUE
from noteflow_hooks.broker.publisher import QueueSender
from noteflow_hooks.redis_url import RedisAddress
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from noteflow_hooks.broker.publisher import Publishers


@pytest.fixture
def broker(redis_url: str) -> Iterator[Redis]:
    """The broker, with an empty queue."""
    with Redis.from_url(redis_url) as client:
        client.delete(DISPATCH_QUEUE)
        yield client
        client.delete(DISPATCH_QUEUE)


@pytest.fixture
def publishers(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Publishers]:
    """Publishers that find a handful long."""
    monkeypatch.setattr(publisher, "QueueSender", partial(QueueSender, full=10))
    made = publisher.connect(RedisAddress.parse(redis_url))
    yield made
    made.close()


def queued(broker: Redis) -> int:
    return int(str(broker.llen(DISPATCH_QUEUE)))


def announce(publishers: Publishers, broker: Redis, *, until_length: int) -> None:
    """Announce one event after another until so many messages wait."""

    def grown() -> bool:
        publishers.events.announce([uuid4()])
        return queued(broker) >= until_length

    until(grown, what=f"{until_length} messages wait")


def test_a_queue_that_nobody_takes_from_stops_growing(publishers: Publishers, broker: Redis) -> None:
    """Those that wait take along what is in the tables; one more would say nothing new."""
    announce(publishers, broker, until_length=10)
    rounds: list[int] = []

    def announced() -> bool:
        publishers.events.announce([uuid4()])
        rounds.append(queued(broker))
        return len(rounds) >= 50

    until(announced, what="fifty more events are announced")
    assert max(rounds) == 10
    broker.delete(DISPATCH_QUEUE)
    announce(publishers, broker, until_length=3)
