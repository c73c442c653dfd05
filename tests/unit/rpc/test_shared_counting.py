"""Limits that several processes count together: real processes, which are killed and stopped too."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING
from uuid import UUID

import psutil
import pytest

from noteflow_hooks.rpc.sharing.counting import SharedBuckets, SharedCounting, Tally
from noteflow_hooks.rpc.sharing.membership import Memberships
from noteflow_hooks.rpc.sharing.memory import ROWS, SharedMemory
from tests.quality.sources import ROOT
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from noteflow_hooks.rpc.sharing.membership import Membership


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = time.monotonic()

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class Counting:
    """A process that counts as one server of a group does."""

    def __init__(self, membership: Membership) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.counting_program", str(membership)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=membership.descriptors,
            cwd=ROOT,
            text=True,
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def tell(self, *words: object) -> None:
        """Ask for something."""
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()

    def answer(self) -> str:
        """Return the next answer."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def ask(self, *words: object) -> str:
        """Ask, and return the answer."""
        self.tell(*words)
        return self.answer()

    def kill(self) -> None:
        """End it without a word of warning."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """End it."""
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


class Crew:
    """Four processes of one group, and this one's own look at their memory."""

    def __init__(self, stack: ExitStack) -> None:
        self.memberships = Memberships(4)
        stack.callback(self.memberships.close)
        self.memory = SharedMemory(self.memberships.memory, count=4)
        self.processes = [Counting(self.memberships.of(number)) for number in range(1, 5)]
        for each in self.processes:
            stack.callback(each.close)


@pytest.fixture
def crew() -> Iterator[Crew]:
    """Offer four processes."""
    with ExitStack() as stack:
        yield Crew(stack)


@pytest.fixture
def memory() -> Iterator[SharedMemory]:
    """Offer the memory of a group of two."""
    memberships = Memberships(2)
    yield SharedMemory(memberships.memory, count=2)
    memberships.close()


def test_four_processes_get_two_thousand_calls_a_second_and_not_eight_thousand(crew: Crew) -> None:
    """With the burst of twice as many that one process gives."""
    for each in crew.processes:
        assert each.ask("enter", "ready", 4) == "open"
    began = time.monotonic()
    for each in crew.processes:
        each.tell("take", 2000, 4000, began + 1)
    answers = [each.answer().split() for each in crew.processes]
    granted, ended = sum(int(count) for count, _ in answers), max(float(moment) for _, moment in answers)
    assert 4000 <= granted <= 4000 + 2000 * (ended - began) + 1


def test_open_calls_are_those_of_all_processes(crew: Crew) -> None:
    """Five in all, whoever opens them; another key has its own five."""
    first, second, third, fourth = crew.processes
    assert [each.ask("enter", "one", 5) for each in (first, second, first, third, fourth)] == ["open"] * 5
    assert {each.ask("enter", "one", 5) for each in crew.processes} == {"full"}
    assert fourth.ask("enter", "other", 5) == "open"


def test_what_a_killed_process_had_open_counts_no_more(crew: Crew) -> None:
    """Once its supervisor has seen it dead; what the others have open goes on counting."""
    first, second, *_ = crew.processes
    assert [first.ask("enter", "one", 3), second.ask("enter", "one", 3), first.ask("enter", "one", 3)] == ["open"] * 3
    first.kill()
    assert second.ask("enter", "one", 3) == "full"
    crew.memory.clear(1)
    assert [second.ask("enter", "one", 3) for _ in range(3)] == ["open", "open", "full"]


def test_a_process_that_is_killed_with_the_lock_lets_go_of_it(crew: Crew) -> None:
    """The kernel does, so the others count on exactly."""
    holder, other, *_ = crew.processes
    assert holder.ask("hold") == "held"
    holder.kill()
    assert crew.memory.lock._try()  # noqa: SLF001 - whether it is free is what this is about
    crew.memory.lock.__exit__()
    assert other.ask("enter", "one", 1) == "open"
    assert other.ask("enter", "one", 1) == "full"


def test_a_process_that_is_stopped_with_the_lock_holds_up_nobody(crew: Crew) -> None:
    """The others wait for a moment, once in seconds, and count without it."""
    holder, other, *_ = crew.processes
    assert holder.ask("hold") == "held"
    os.kill(holder.pid, signal.SIGSTOP)
    until(lambda: psutil.Process(holder.pid).status() == psutil.STATUS_STOPPED, what="it is stopped")
    assert [other.ask("enter", "one", 100) for _ in range(101)] == ["open"] * 100 + ["full"]


def test_a_batch_takes_as_many_as_it_has() -> None:
    """Also more than a bucket holds, from a full one; then the rate holds all the same."""
    clock, memberships = Clock(), Memberships(2)
    one, other = (
        SharedBuckets(SharedMemory(memberships.memory, count=2), "calls", 10, burst=20, clock=clock) for _ in range(2)
    )
    key = UUID(int=1)
    assert one.take(key, 15) == 0
    assert other.take(key, 10) == pytest.approx(0.5)
    clock.now += 0.5
    assert other.take(key, 10) == 0
    clock.now += 2
    assert one.take(key, 50) == 0
    assert other.take(key) == pytest.approx(3.1)
    memberships.close()


def test_buckets_of_two_names_or_keys_are_apart(memory: SharedMemory) -> None:
    """As a token's calls and its workspace's registrations are."""
    counting = SharedCounting(memory, number=1)
    buckets = [counting.buckets(name, 1, burst=1) for name in ("calls", "registrations")]
    assert [each.take(key) for each in buckets for key in (UUID(int=1), UUID(int=2))] == [0] * 4
    assert all(each.take(key) for each in buckets for key in (UUID(int=1), UUID(int=2)))


def test_a_rate_of_nothing_is_no_limit(memory: SharedMemory) -> None:
    """As in one process."""
    assert not any(SharedCounting(memory, number=1).buckets("calls", 0, burst=0).take("a") for _ in range(1000))


def test_more_keys_than_rows_forget_those_that_are_full_again(memory: SharedMemory) -> None:
    """A key that keeps asking keeps its bucket, however many others come."""
    clock = Clock()
    buckets = SharedBuckets(memory, "calls", 0.001, burst=1, clock=clock)
    quick = SharedBuckets(memory, "others", 1e9, burst=1, clock=clock)
    assert buckets.take("asking") == 0
    for number in range(3 * ROWS):
        assert quick.take(number) == 0
        if number % 1000 == 0:
            assert buckets.take("asking") > 0


def test_a_row_with_open_calls_is_nobody_else_s(memory: SharedMemory) -> None:
    """However many keys come and go meanwhile."""
    tally = Tally(memory, "calls", number=2)
    assert tally.enter("kept", most=1) is not None
    for number in range(2 * ROWS):
        cell = tally.enter(number, most=1)
        assert cell is not None
        tally.leave(cell)
    assert tally.enter("kept", most=1) is None
    assert Tally(memory, "calls", number=1).numbers("kept") == [2]
