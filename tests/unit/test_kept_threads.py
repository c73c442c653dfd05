"""Threads are kept for the next call, never lose one, and are started only where none is idle."""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import pytest

from noteflow_hooks.concurrency.bulkhead import Bulkhead
from noteflow_hooks.concurrency.kept_threads import KeptThreads
from noteflow_hooks.delivery.tuning import BULKHEAD
from tests.support.waiting import PATIENCE_S, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def threads() -> Iterator[KeptThreads]:
    made = KeptThreads(4, name="kept")
    yield made
    made.close()


def alive() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name.startswith("kept-")]


def idle(threads: KeptThreads, count: int) -> None:
    """Wait until so many wait for a call."""
    until(lambda: len(threads._idle) == count, what=f"{count} threads are idle")  # noqa: SLF001 - nothing else tells


def test_a_thread_is_kept_for_the_next_call(threads: KeptThreads) -> None:
    """A hundred calls, each after the one before it, take one thread."""
    made: list[str] = []
    for _ in range(100):
        threads.submit(lambda: made.append(threading.current_thread().name))
        idle(threads, 1)
    assert made == ["kept-0"] * 100


def test_calls_that_wait_have_a_thread_each(threads: KeptThreads) -> None:
    """As many as there may be run at once; the next one begins as soon as one of them ends."""
    meeting, begun, release = threading.Barrier(4), list[int](), threading.Event()

    def call(number: int) -> None:
        if number < 4:
            meeting.wait(PATIENCE_S)
            release.wait(PATIENCE_S)
        begun.append(number)

    for number in range(5):
        threads.submit(call, number)
    assert begun == []
    release.set()
    until(lambda: len(begun) == 5, what="all have ended")
    assert len(alive()) == 4
    assert sorted(begun) == [0, 1, 2, 3, 4]


def test_closing_waits_for_what_is_under_way() -> None:
    """And leaves no thread behind."""
    threads, ended, began = KeptThreads(2, name="kept"), list[int](), threading.Event()

    def call() -> None:
        began.set()
        until(closing.is_set, what="closing")
        ended.append(1)

    closing = threading.Event()
    threads.submit(call)
    threads.submit(call)
    assert began.wait(PATIENCE_S)
    closer = threading.Thread(target=threads.close)
    closer.start()
    assert ended == []
    closing.set()
    closer.join(PATIENCE_S)
    assert ended == [1, 1]
    assert alive() == []


class KillingQueue(SimpleQueue[Any]):
    """Ends whoever waits and gets "kill", as gevent's kill ends a greenlet that waits."""

    def get(self, block: bool = True, timeout: float | None = None) -> Any:  # noqa: ANN401, FBT001, FBT002 - the queue's
        got = super().get(block, timeout)
        if got == "kill":
            raise SystemExit
        return got


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_no_call_is_left_to_a_thread_that_was_killed(threads: KeptThreads, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it waited: the next call has a thread of its own."""
    monkeypatch.setattr(threads, "_calls", KillingQueue())
    threads.submit(lambda: None)
    idle(threads, 1)
    threads._calls.put("kill")  # type: ignore[arg-type]  # noqa: SLF001 - nothing else reaches who waits
    until(lambda: alive() == [], what="the thread is gone")
    done = threading.Event()
    threads.submit(done.set)
    assert done.wait(PATIENCE_S)


def test_a_call_that_is_begun_ends_where_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it holds it gives back; the others are not begun."""
    bulkhead, seen = Bulkhead(3, tuning=BULKHEAD), list[str]()

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    def begin(job: int) -> Callable[[], None]:
        seen.append(f"begun {job}")
        return lambda: seen.append(f"ended {job}")

    with bulkhead.reserve(3) as permits, monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(RuntimeError):
            permits.begin_each(begin, [1, 2, 3])
    assert seen == ["begun 1", "ended 1"]
    assert bulkhead.reserve(3).size == 3
    bulkhead.close()


def test_permits_come_back_where_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine has none left: the caller is told, and the next one has all permits."""
    bulkhead = Bulkhead(3, tuning=BULKHEAD)

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with bulkhead.reserve(3) as permits, monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(RuntimeError):
            permits.begin(str, [1, 2, 3])
    assert bulkhead.reserve(3).size == 3
    bulkhead.close()
