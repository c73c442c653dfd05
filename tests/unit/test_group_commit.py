"""Failures that wait for the same endpoints' health, stored by one thread for all."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from noteflow_hooks.concurrency.group_commit import Committed, GroupCommit
from noteflow_hooks.domain.deliveries import Settlement
from noteflow_hooks.domain.ports.delivery_store import Settled
from noteflow_hooks.errors import UnavailableError
from tests.support.builders import a_delivery
from tests.support.waiting import PATIENCE_S, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future


class Slow:
    """A store that is busy until it is let go, and notes what it was given at once."""

    def __init__(self) -> None:
        self.batches: list[list[Settlement]] = []
        self.untils: list[float] = []
        self.let_go = threading.Event()
        self.error: Exception | None = None

    def __call__(self, settlements: list[Settlement], until_at: float) -> Settled:
        self.batches.append(list(settlements))
        self.untils.append(until_at)
        assert self.let_go.wait(PATIENCE_S)
        if self.error is not None and len(self.batches) > 1:
            raise self.error
        return Settled(frozenset(each.fencing_key for each in settlements))


class Tasks:
    """Some tasks that settle beside each other: the first is under way, three more wait behind it."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self.store = Slow()
        self._threads = threads
        self._commit = GroupCommit(self.store)
        self.settlements = [Settlement(delivery=a_delivery()) for _ in range(4)]
        self.futures: list[Future[Committed[Settled]]] = [self._begin(0)]
        until(lambda: self.store.batches, what="the first is being stored")
        for number in (1, 2, 3):
            self.futures.append(self._begin(number))
            until(lambda number=number: self._waiting() == number, what="one more waits")  # type: ignore[misc]  # bound now

    def _begin(self, number: int) -> Future[Committed[Settled]]:
        return self._threads.submit(self._commit.commit, [self.settlements[number]], float(number))

    def _waiting(self) -> int:
        return len(self._commit._gathering.items)  # noqa: SLF001 - nothing else tells that a thread waits


@pytest.fixture
def tasks() -> Iterator[Tasks]:
    """The tasks."""
    with ThreadPoolExecutor(4) as threads:
        made = Tasks(threads)
        try:
            yield made
        finally:
            made.store.let_go.set()


def test_what_comes_meanwhile_is_stored_as_one(tasks: Tasks) -> None:
    """In the order in which it came, until the latest moment of all; each finds its own claim."""
    tasks.store.let_go.set()
    settled = [each.result(PATIENCE_S) for each in tasks.futures]
    assert tasks.store.batches == [tasks.settlements[:1], tasks.settlements[1:]]
    assert tasks.store.untils == [0.0, 3.0]
    assert all(
        each.fencing_key in found.outcome.fencing_keys for each, found in zip(tasks.settlements, settled, strict=True)
    )


def test_one_of_each_group_leads(tasks: Tasks) -> None:
    """What follows from a group would be seen to as often as there are tasks, or by nobody."""
    tasks.store.let_go.set()
    assert [each.result(PATIENCE_S).leads for each in tasks.futures] == [True, True, False, False]


def test_an_error_is_everybody_s_who_waited_for_it(tasks: Tasks) -> None:
    """And nobody else's."""
    tasks.store.error = UnavailableError("away")
    tasks.store.let_go.set()
    assert tasks.futures[0].exception(PATIENCE_S) is None
    assert {type(each.exception(PATIENCE_S)) for each in tasks.futures[1:]} == {UnavailableError}


class KilledError(BaseException):
    """What ends a task from outside, as gevent's GreenletExit does."""


class KillingLock:
    """A lock whose first holder to be is killed while it waits for it, once others wait for that one."""

    def __init__(self) -> None:
        self.kill = threading.Event()
        self.entered = 0

    def __enter__(self) -> None:
        self.entered += 1
        if self.entered == 1:
            assert self.kill.wait(PATIENCE_S)
            raise KilledError

    def __exit__(self, *_: object) -> None:
        """Nobody else holds it."""


def test_a_leader_that_is_killed_while_it_waits_leaves_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of its group get its error; what comes afterwards is stored, and without theirs."""
    commit, lock = GroupCommit[int, list[int]](lambda items, _: list(items)), KillingLock()
    monkeypatch.setattr(commit, "_storing", lock)
    with ThreadPoolExecutor(2) as threads:
        leader = threads.submit(commit.commit, [1], 0.0)
        until(lambda: lock.entered, what="the leader waits")
        follower = threads.submit(commit.commit, [2], 0.0)
        until(lambda: len(commit._gathering.items) == 2, what="the follower waits")  # noqa: SLF001 - nothing else tells
        lock.kill.set()
        assert [type(each.exception(PATIENCE_S)) for each in (leader, follower)] == [KilledError, KilledError]
    assert commit.commit([3], 0.0) == ([3], True)
