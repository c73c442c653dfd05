"""Purging in batches: a few a call, with a rest after it, and going on where the last call came to."""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from noteflow_hooks.domain.paging import Position
from noteflow_hooks.domain.ports.maintenance import PurgeBatch
from noteflow_hooks.errors import UnavailableError
from noteflow_hooks.maintenance.retention import Periods, Purged, RetentionService
from noteflow_hooks.persistence.memory import (
    InMemoryDeliveryStore,
    InMemoryRetentionStore,
    InMemoryUnitOfWork,
    MemoryStore,
)
from tests.support.builders import NOON, a_workspace, an_event

if TYPE_CHECKING:
    from collections.abc import Callable

    from noteflow_hooks.domain.ports.maintenance import RetentionStore

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


class Clock:
    """A clock that only work moves on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Counted:
    """A store that has so many rows of each kind until all are gone through, and takes so long for a batch of them."""

    def __init__(self, clock: Clock, *, takes_s: float = 0.1, **rows: int) -> None:
        self.rows = rows
        self.asked: list[tuple[str, timedelta]] = []
        self.away: set[str] = set()
        self._clock = clock
        self._takes_s = takes_s

    def __getattr__(self, method: str) -> Callable[..., PurgeBatch]:
        return partial(self._sweep, method)

    def _sweep(self, method: str, older_than: timedelta, *, limit: int, after: Position | None = None) -> PurgeBatch:
        kind = method.split("_")[1]
        self.asked.append((kind, older_than))
        if kind in self.away:
            raise UnavailableError("the database does not answer")
        self._clock.now += self._takes_s
        start = 0 if after is None else after.id.int
        end = min(start + limit, self.rows.get(kind, 0))
        if end - start == limit:
            return PurgeBatch(limit, Position(NOON, UUID(int=end)))
        self.rows[kind] = 0
        return PurgeBatch(end - start, None)


def service(clock: Clock, store: RetentionStore | Counted) -> RetentionService:
    return RetentionService(store, Periods(), batch=10, monotonic=clock)


def to_the_end(purging: RetentionService) -> Purged:
    """Call until nothing more is old enough, and return what was done in all."""
    done = purging.purge()
    total = Purged(done)
    while done.more:
        done = purging.purge()
        total.update(done)
    return total


def test_all_that_is_old_goes_in_batches() -> None:
    """Each kind is gone through to its end, and the counts say so in words."""
    clock = Clock()
    done = to_the_end(service(clock, Counted(clock, payloads=25, events=7)))
    assert str(done) == "25 payloads, 7 events"


def test_nothing_old_is_said_so(caplog: pytest.LogCaptureFixture) -> None:
    """A call that finds nothing says so to its caller, and nothing to the log."""
    clock = Clock()
    with caplog.at_level(logging.INFO):
        assert str(service(clock, Counted(clock)).purge()) == "nothing is old enough"
        assert caplog.text == ""
        service(clock, Counted(clock, replays=2)).purge()
    assert "retention: 2 replays" in caplog.text


def test_a_call_is_a_batch_of_each_kind() -> None:
    """Much of one kind keeps no other waiting, and no call is long."""
    clock = Clock()
    store = Counted(clock, payloads=45, attempts=15)
    done = service(clock, store).purge()
    first = ["payloads", "attempts", "events", "batches", "replays", "requests", "mails", "header", "webhooks"]
    assert [kind for kind, _ in store.asked] == [*first, "minutes", "hours", "audit"]
    assert (str(done), done.more) == ("10 payloads, 10 attempts", True)


def test_the_next_call_goes_on() -> None:
    """It begins where this one came to, until nothing is left."""
    clock = Clock()
    purging = service(clock, Counted(clock, payloads=25))
    calls = [purging.purge() for _ in range(3)]
    assert [(each["payloads"], each.more) for each in calls] == [(10, True), (10, True), (5, False)]


def test_a_rest_is_five_times_as_long_as_the_call() -> None:
    """A sixth of the time is spent on purging, and none of it in the call on resting."""
    clock = Clock()
    done = service(clock, Counted(clock, takes_s=0.25, payloads=99)).purge()
    assert (done.took, done.rest) == (3 * SECOND, 15 * SECOND)
    assert clock.now - 1000 == pytest.approx(3)


def test_each_kind_has_its_period() -> None:
    """Payloads go by the shorter of theirs and the events', since only what has none is removed."""
    clock = Clock()
    store = Counted(clock)
    RetentionService(
        store,
        Periods(events=2 * DAY, payloads=3 * DAY, attempts=DAY, audit=4 * DAY),
        monotonic=clock,
    ).purge()
    assert store.asked == [
        ("payloads", 2 * DAY),
        ("attempts", DAY),
        ("events", 2 * DAY),
        ("batches", 2 * DAY),
        ("replays", 2 * DAY),
        ("requests", DAY),
        ("mails", 7 * DAY),
        ("header", 3 * DAY),
        ("webhooks", 2 * DAY),
        ("minutes", 2 * DAY),
        ("hours", 90 * DAY),
        ("audit", 4 * DAY),
    ]


def test_the_periods_are_the_contracts() -> None:
    """Ninety days for events, thirty for payloads and attempts, a year for the audit trail."""
    assert Periods() == Periods(events=90 * DAY, payloads=30 * DAY, attempts=30 * DAY, audit=365 * DAY)


def test_a_store_that_is_away_is_said_and_nothing_is_forgotten() -> None:
    """The error goes on to the caller; the next call goes on where the batches before it came to."""
    clock = Clock()
    store = Counted(clock, payloads=15)
    purging = service(clock, store)
    store.away.add("attempts")
    with pytest.raises(UnavailableError):
        purging.purge()
    store.away.clear()
    assert purging.purge()["payloads"] == 5


def test_two_at_once_remove_each_row_once() -> None:
    """Over one store, whoever comes second finds what the first has left. The events are counted before they go."""
    moment = NOON
    store = MemoryStore(lambda: moment)
    workspace = a_workspace()
    with InMemoryUnitOfWork(store) as unit:
        unit.access.create_workspace(workspace)
        for _ in range(25):
            unit.events.append(an_event(workspace_id=workspace.id))
        unit.commit()
    InMemoryDeliveryStore(store).dispatch([], limit=99)
    moment += 90 * DAY
    clock = Clock()
    one, two = (service(clock, InMemoryRetentionStore(store)) for _ in range(2))
    first = one.purge()
    assert first + to_the_end(two) + to_the_end(one) == Purged(
        {"payloads": 25, "events": 25, "minutes of figures": 1, "hours of figures": 1}
    )
    with InMemoryUnitOfWork(store) as unit:
        assert unit.events.list_page(workspace.id, limit=99) == []
