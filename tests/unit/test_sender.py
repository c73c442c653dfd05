"""The background sender: quick to put, sends in order, and is quiet about a Redis that is away."""

from __future__ import annotations

import logging
import threading
from unittest.mock import Mock

import pytest

from noteflow_hooks.concurrency.outage import Outage
from noteflow_hooks.concurrency.sender import BackgroundSender
from tests.support.waiting import until


def _put(sender: BackgroundSender, sent: list[str]) -> bool:
    sender.put(lambda: sent.append("later"))
    return bool(sent)


def a_sender(*, pause_s: float = 1.0) -> BackgroundSender:
    return BackgroundSender(most=1_000, pause_s=pause_s, outage=Outage("Redis", safe="it is found"))


def refuse() -> None:
    raise AttributeError("'NoneType' object has no attribute 'client'")


def test_messages_are_sent_in_their_order() -> None:
    """And those that wait when it is closed are sent before it ends."""
    sender, sent = a_sender(), list[int]()
    for number in range(50):
        sender.put(lambda number=number: sent.append(number))  # type: ignore[misc]  # mypy knows no lambda's defaults
    sender.close(timeout_s=30)
    assert sent == list(range(50))


def test_nobody_waits_for_a_redis_that_hangs() -> None:
    """Putting returns while the message before it is stuck; so does closing, after a moment."""
    sender, stuck, sent = a_sender(), threading.Event(), list[str]()
    sender.put(stuck.wait)
    sender.put(lambda: sent.append("next"))
    sender.close(timeout_s=0.05)
    assert sent == []
    stuck.set()
    until(lambda: sent == ["next"], what="the message behind the stuck one")


def test_whatever_a_message_raises_is_said_once_and_costs_the_others_behind_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each would fail as slowly as the first. After a pause messages are sent again."""
    sender, begun, sent = a_sender(pause_s=0.2), threading.Event(), list[str]()

    def fail() -> None:
        assert begun.wait(10)
        refuse()

    with caplog.at_level(logging.WARNING, logger="noteflow_hooks.concurrency.outage"):
        sender.put(fail)
        for _ in range(20):
            sender.put(lambda: sent.append("behind"))
        begun.set()
        until(lambda: _put(sender, sent), what="messages are sent again")
    assert set(sent) == {"later"}
    [line] = [each.getMessage() for each in caplog.records]
    assert "Redis refuses: AttributeError: 'NoneType' object" in line
    sender.close()


def test_a_backlog_of_messages_keeps_its_newest() -> None:
    """Where a thousand wait, the oldest are left to the sweep."""
    sender, begun, stuck, sent = a_sender(), threading.Event(), threading.Event(), list[int]()

    def hang() -> None:
        begun.set()
        stuck.wait()

    sender.put(hang)
    assert begun.wait(30)
    for number in range(1_500):
        sender.put(lambda number=number: sent.append(number))  # type: ignore[misc]  # as above
    stuck.set()
    sender.close(timeout_s=30)
    assert sent == list(range(500, 1_500))


def test_what_comes_after_its_end_is_left_to_the_sweep() -> None:
    """A closed one sends nothing, and starts no thread."""
    sender, sent = a_sender(), list[str]()
    sender.close()
    sender.put(lambda: sent.append("late"))
    assert sent == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # that is how it is killed
def test_a_sender_whose_thread_was_killed_sends_again() -> None:
    """Another thread begins with the next message."""
    sender, sent = a_sender(), list[str]()

    def be_killed() -> None:
        raise SystemExit

    sender.put(be_killed)
    until(lambda: _put(sender, sent), what="another thread sends")
    sender.close()


def test_a_sender_that_was_killed_in_its_pause_pauses_no_more() -> None:
    """Or nothing would ever be sent again."""
    sender, sent = a_sender(), list[str]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sender._changed, "wait_for", Mock(side_effect=SystemExit))  # noqa: SLF001 - killed as it rests
        with pytest.raises(SystemExit):
            sender._pause(ValueError())  # noqa: SLF001 - in this thread, so that nothing ends it but the kill
    until(lambda: _put(sender, sent), what="a message is sent")
    sender.close()
