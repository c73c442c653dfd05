"""The publisher: quick to return, gathering what comes while it is busy, and quiet about a Redis that is away."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

from noteflow_hooks.broker import publisher
from noteflow_hooks.broker.publisher import Publisher
from noteflow_hooks.concurrency.outage import Outage
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
        #: How many messages it says wait with each.
        self.queued = 1

    def send(self, ids: list[str]) -> int:
        self.entered.set()
        assert self.open.wait(PATIENCE_S)
        with self.taken:
            self.tries += 1
            if not self.failing:
                self.messages.append(ids)
            self.taken.notify_all()
        if self.failing:
            raise ConnectionError("away")
        return self.queued

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


def an_outage() -> Outage:
    return Outage("Redis", safe="it is found", quiet_s=0)


def test_closing_sends_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Events announced just before the end are not left to the relay."""
    broker, ids = Broker(), [uuid4() for _ in range(3)]
    broker.queued = 2
    monkeypatch.setattr(publisher, "_SPACING_S", 1000.0)
    sending = Publisher(broker.send)
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
    sending = Publisher(broker.send, pause_s=0.001, outage=an_outage())
    broker.announce_until(sending, lambda: broker.tries >= 2)
    broker.failing = False
    broker.announce_until(sending, lambda: bool(broker.messages))
    sending.close(timeout_s=PATIENCE_S)
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "Redis refuses: ConnectionError" in caplog.text
    assert "Redis answers again" in caplog.text


def rests_of(sending: Publisher, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the rests that it takes, in seconds, once each is over at once."""
    rests: list[float] = []
    monkeypatch.setattr(sending, "_rest", rests.append)
    return rests


def test_a_busy_publisher_sends_fuller_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the busy rate on, ids gather for a while."""
    broker = Broker()
    sending = Publisher(broker.send)
    monkeypatch.setattr(publisher, "_BUSY_SPACINGS_S", ((300.0, 1000.0),))
    rests = rests_of(sending, monkeypatch)
    sending.announce([uuid4()])
    broker.wait_for(1)
    # Each of the three messages is more than what counts as busy in a second, however long there is between them.
    sending.announce([uuid4() for _ in range(1450)])
    broker.wait_for(1451)
    sending.close(timeout_s=PATIENCE_S)
    assert [len(message) for message in broker.messages] == [1, 500, 500, 450]
    assert rests == [0.0, 1000.0, 1000.0, 1000.0]


def test_ids_gather_while_workers_are_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever takes the message that waits takes them along; where none waits, the next one goes at once."""
    broker = Broker()
    sending = Publisher(broker.send)
    monkeypatch.setattr(publisher, "_SPACING_S", 1000.0)
    rests = rests_of(sending, monkeypatch)
    for count, broker.queued in enumerate((1, 2, 1), start=1):
        sending.announce([uuid4()])
        until(lambda: len(rests) == count, what="it rests")  # noqa: B023 - called at once
    sending.close(timeout_s=PATIENCE_S)
    assert rests == [0.0, 1000.0, 0.0]


def test_a_backlog_of_calls_makes_messages_fuller(monkeypatch: pytest.MonkeyPatch) -> None:
    """While many calls wait in the server, messages are farther apart."""
    broker = Broker()
    sending = Publisher(broker.send)
    monkeypatch.setattr(publisher, "_BACKLOG_SPACING_S", 1000.0)
    rests = rests_of(sending, monkeypatch)
    for count, backlog in enumerate((0, 19, 20), start=1):
        sending.report_backlog(partial(int, backlog))
        sending.announce([uuid4()])
        until(lambda: len(rests) == count, what="it rests")  # noqa: B023 - called at once
    sending.close(timeout_s=PATIENCE_S)
    assert rests == [0.0, 0.0, 1000.0]


def test_a_broker_that_is_away_is_tried_once_in_a_pause() -> None:
    """However many calls announce something meanwhile: none of them wakes the thread."""
    broker = Broker()
    broker.failing = True
    sending = Publisher(broker.send, pause_s=1000.0)
    sending.announce([uuid4()])
    until(lambda: broker.tries == 1, what="it fails")
    for _ in range(1000):
        sending.announce([uuid4()])
    assert broker.tries == 1
    sending.close(timeout_s=PATIENCE_S)


def test_an_announcement_in_any_moment_is_sent() -> None:
    """Also one that comes just as the thread finds nothing more to do: none waits for the next one."""
    broker = Broker()
    sending = Publisher(broker.send)
    for count in range(1, 2001):
        sending.announce([uuid4()])
        if count % 3 == 0:
            broker.wait_for(count)
    broker.wait_for(2000)
    sending.close(timeout_s=PATIENCE_S)


class Line:
    """Takes messages at once, as a connection does that has nothing under way, and answers once it is open."""

    def __init__(self) -> None:
        self.messages: list[list[str]] = []
        self.senders: list[int] = []
        self.open = threading.Event()
        self.failing = False
        self.ready = True

    def send(self, ids: list[str]) -> int:
        self.messages.append(ids)
        self.senders.append(threading.get_ident())
        return self.answer()

    def begin(self, ids: list[str]) -> Callable[[], int] | None:
        if not self.ready:
            return None
        self.messages.append(ids)
        self.senders.append(threading.get_ident())
        return self.answer

    def answer(self) -> int:
        assert self.open.wait(PATIENCE_S)
        if self.failing:
            raise ConnectionError("away")
        return 1


def test_who_announces_sends_the_message_itself() -> None:
    """It is on its way before the announcement returns, and nobody waits for its answer there."""
    line, event_id = Line(), uuid4()
    sending = Publisher(line.send, begin=line.begin)
    sending.announce([event_id])
    assert line.messages == [[str(event_id)]]
    assert line.senders == [threading.get_ident()]
    line.open.set()
    sending.close(timeout_s=PATIENCE_S)


def test_what_comes_before_the_answer_goes_out_with_the_next_message() -> None:
    """Over one connection one message at a time is under way; the thread sends the rest in another one."""
    line, first, rest = Line(), uuid4(), [uuid4() for _ in range(100)]
    sending = Publisher(line.send, begin=line.begin)
    for event_id in (first, *rest):
        sending.announce([event_id])
    assert line.messages == [[str(first)]]
    line.open.set()
    sending.close(timeout_s=PATIENCE_S)
    assert line.messages == [[str(first)], [str(each) for each in rest]]
    assert line.senders[1] != threading.get_ident()


def test_what_can_not_be_sent_at_once_is_left_to_the_thread() -> None:
    """Where there is no connection yet, and where there are so many ids that to send them may take its time."""
    line, few, many = Line(), [uuid4() for _ in range(3)], [uuid4() for _ in range(26)]
    line.open.set()
    line.ready = False
    sending = Publisher(line.send, begin=line.begin)
    sending.announce(few)
    until(lambda: len(line.messages) == 1, what="the few are sent")
    line.ready = True
    sending.announce(many)
    sending.close(timeout_s=PATIENCE_S)
    assert line.messages == [[str(each) for each in ids] for ids in (few, many)]
    assert threading.get_ident() not in line.senders


def test_an_answer_that_fails_is_a_broker_that_is_away(caplog: pytest.LogCaptureFixture) -> None:
    """It is said, and nothing is sent for the length of the pause, by whoever it may be."""
    line = Line()
    line.failing = True
    sending = Publisher(line.send, begin=line.begin, pause_s=1000.0, outage=an_outage())
    sending.announce([uuid4()])
    line.open.set()
    until(lambda: "ConnectionError" in caplog.text, what="it is said")
    for _ in range(100):
        sending.announce([uuid4()])
    assert len(line.messages) == 1
    sending.close(timeout_s=PATIENCE_S)


def test_announcements_of_many_threads_are_sent_once_each() -> None:
    """Whoever sends them: each id is in one message."""
    line, ids = Line(), [[[uuid4()] for _ in range(500)] for _ in range(4)]
    line.open.set()
    sending = Publisher(line.send, begin=line.begin)
    threads = [threading.Thread(target=lambda own=own: deque(map(sending.announce, own), maxlen=0)) for own in ids]
    for each in threads:
        each.start()
    for each in threads:
        each.join(PATIENCE_S)
    sending.close(timeout_s=PATIENCE_S)
    sent = sorted(each for message in line.messages for each in message)
    assert sent == sorted(str(each) for own in ids for [each] in own)
