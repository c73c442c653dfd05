"""The publisher: quick to return, gathering what comes while it is busy, and quiet about a Redis that is away."""

from __future__ import annotations

import base64
import json
import logging
import threading
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

import fakeredis
from kombu.transport.redis import Channel

from noteflow_hooks.broker import publisher
from noteflow_hooks.broker.publisher import Publisher
from noteflow_hooks.broker.redis_url import RedisAddress
from tests.support.waiting import PATIENCE_S, until

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest


class Broker:
    """Takes messages, once it is open, and fails while it is told to."""

    def __init__(self) -> None:
        self.messages: list[list[str]] = []
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()
        self.taken = threading.Condition()
        self.failing = False
        self.tries = 0

    def send(self, ids: list[str]) -> None:
        self.entered.set()
        assert self.open.wait(PATIENCE_S)
        with self.taken:
            self.tries += 1
            if not self.failing:
                self.messages.append(ids)
            self.taken.notify_all()
        if self.failing:
            raise ConnectionError("away")

    def wait_for(self, count: int) -> None:
        with self.taken:
            assert self.taken.wait_for(lambda: sum(map(len, self.messages)) >= count, timeout=PATIENCE_S)

    def announce_until(self, sending: Publisher, check: Callable[[], bool]) -> None:
        """Announce events until that is true; what comes during a failure is left to the relay."""
        ends_at = time.monotonic() + PATIENCE_S
        while not check():
            assert time.monotonic() < ends_at
            sending.announce([uuid4()])
            with self.taken:
                self.taken.wait(0.01)


def test_an_idle_publisher_sends_at_once() -> None:
    """One event, one message with its id."""
    broker, event_id = Broker(), uuid4()
    sending = Publisher(broker.send)
    sending.announce([event_id])
    broker.wait_for(1)
    assert broker.messages == [[str(event_id)]]
    sending.close(timeout_s=PATIENCE_S)


def test_what_comes_while_it_is_busy_goes_out_together() -> None:
    """A hundred events announced during one slow message go out in a single second one."""
    broker, first, rest = Broker(), uuid4(), [uuid4() for _ in range(100)]
    broker.open.clear()
    sending = Publisher(broker.send)
    sending.announce([first])
    assert broker.entered.wait(PATIENCE_S)
    for event_id in rest:
        sending.announce([event_id])
    broker.open.set()
    broker.wait_for(101)
    assert broker.messages == [[str(first)], [str(each) for each in rest]]
    sending.close(timeout_s=PATIENCE_S)


def test_announcing_does_not_wait_for_a_broker_that_hangs() -> None:
    """While a send hangs, a thousand announcements return, and closing gives up after its time."""
    broker = Broker()
    broker.open.clear()
    sending = Publisher(broker.send)
    ids = [[uuid4()] for _ in range(1000)]
    caller = threading.Thread(target=lambda: deque(map(sending.announce, ids), maxlen=0))
    caller.start()
    caller.join(PATIENCE_S)
    assert not caller.is_alive()
    sending.close(timeout_s=0.05)
    broker.open.set()


def test_closing_sends_what_waits() -> None:
    """Events announced just before the end are not left to the relay."""
    broker, ids = Broker(), [uuid4() for _ in range(3)]
    sending = Publisher(broker.send, spacing_s=30)
    for event_id in ids:
        sending.announce([event_id])
    sending.close(timeout_s=PATIENCE_S)
    assert sorted(each for message in broker.messages for each in message) == sorted(map(str, ids))
    sending.announce([uuid4()])
    assert sum(map(len, broker.messages)) == 3


def test_a_broker_that_is_away_is_said_once_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """Two failures make one warning; the next event after its return goes out, and says so."""
    caplog.set_level(logging.INFO)
    broker = Broker()
    broker.failing = True
    sending = Publisher(broker.send, pause_s=0.001)
    broker.announce_until(sending, lambda: broker.tries >= 2)
    broker.failing = False
    broker.announce_until(sending, lambda: bool(broker.messages))
    sending.close(timeout_s=PATIENCE_S)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "ConnectionError" in caplog.text


def test_a_busy_publisher_sends_fuller_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the busy rate on, the spacing is the longer one."""
    rests_until: list[float] = []
    broker = Broker()
    sending = Publisher(broker.send)
    monkeypatch.setattr(publisher, "_BUSY_SPACING_S", 1000.0)
    monkeypatch.setattr(sending, "_rest", rests_until.append)
    sending.announce([uuid4()])
    broker.wait_for(1)
    # Each of the three messages is more than what counts as busy in a second, however long there is between them.
    sending.announce([uuid4() for _ in range(1300)])
    broker.wait_for(1301)
    sending.close(timeout_s=PATIENCE_S)
    assert [len(message) for message in broker.messages] == [1, 500, 500, 300]
    assert [until - time.monotonic() > 500 for until in rests_until] == [False, True, True, True]


def test_a_backlog_of_calls_makes_messages_fuller(monkeypatch: pytest.MonkeyPatch) -> None:
    """While many calls wait in the server, messages are farther apart."""
    rests_until: list[float] = []
    broker = Broker()
    sending = Publisher(broker.send)
    monkeypatch.setattr(publisher, "_BACKLOG_SPACING_S", 1000.0)
    monkeypatch.setattr(sending, "_rest", rests_until.append)
    for count, backlog in enumerate((0, 19, 20), start=1):
        sending.report_backlog(partial(int, backlog))
        sending.announce([uuid4()])
        until(lambda: len(rests_until) == count, what="it rests")  # noqa: B023 - called at once
    sending.close(timeout_s=PATIENCE_S)
    assert [until - time.monotonic() > 500 for until in rests_until] == [False, False, True]


def test_a_hint_is_a_celery_message_with_ids_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies in a queue names the task and the event or delivery, and nothing of a payload."""
    server, event_id, delivery_id = fakeredis.FakeServer(), uuid4(), uuid4()
    monkeypatch.setattr(Channel, "_get_client", lambda _: lambda **_: fakeredis.FakeRedis(server=server))
    publishers = publisher.connect(RedisAddress.parse("redis://redis.example:6379/0"))
    # One after the other: what both threads import at once, as they begin, may warn, and warnings are errors here.
    for each, wanted in ((publishers.events, event_id), (publishers.deliveries, delivery_id)):
        each.announce([wanted])
        each.close(timeout_s=PATIENCE_S)
    for queue, wanted in (("dispatch", event_id), ("deliver", delivery_id)):
        [raw] = fakeredis.FakeRedis(server=server).lrange(queue, 0, -1)
        message = json.loads(raw)
        assert message["headers"]["task"] == f"noteflow.hooks.{queue}"
        assert json.loads(base64.b64decode(message["body"]))[0] == [[str(wanted)]]
