"""Purging in batches: bounded in time, resting after each, and going on where the last call came to."""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from noteflow_hooks.domain.ports import Position, Swept
from noteflow_hooks.errors import UnavailableError
from noteflow_hooks.persistence.memory import (
    InMemoryDeliveryStore,
    InMemoryRetentionStore,
    InMemoryUnitOfWork,
    MemoryStore,
)
from noteflow_hooks.retention import Periods, Purged, RetentionService
from tests.builders import NOON, a_workspace, an_event

if TYPE_CHECKING:
    from collections.abc import Callable

    from noteflow_hooks.domain.ports import RetentionStore

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


class Clock:
    """A clock that only sleeping and working move on."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(round(seconds, 3))


class Counted:
    """A store that has so many rows of each kind, and takes so long to look at a batch of them."""

    def __init__(self, clock: Clock, *, takes_s: float = 0.1, **rows: int) -> None:
        self.rows = rows
        self.asked: list[tuple[str, timedelta]] = []
        self.away: set[str] = set()
        self._clock = clock
        self._takes_s = takes_s

    def __getattr__(self, method: str) -> Callable[..., Swept]:
        return partial(self._sweep, method)

    def _sweep(self, method: str, older_than: timedelta, *, limit: int, after: Position | None = None) -> Swept:
        kind = method.split("_")[1]
        self.asked.append((kind, older_than))
        if kind in self.away:
            raise UnavailableError("the database does not answer")
        self._clock.now += self._takes_s
        start = 0 if after is None else after.id.int
        end = min(start + limit, self.rows.get(kind, 0))
        return Swept(end - start, Position(NOON, UUID(int=end)) if end - start == limit else None)


def service(clock: Clock, store: RetentionStore | Counted, **options: Any) -> RetentionService:  # noqa: ANN401 - the service's own
    given: dict[str, Any] = {"batch": 10, "within": 5 * SECOND, "sleep": clock.sleep, "monotonic": clock}
    return RetentionService(store, Periods(), **given | options)


def test_all_that_is_old_goes_in_batches() -> None:
    """Each kind is gone through to its end, and the counts say so in words."""
    clock = Clock()
    done = service(clock, Counted(clock, takes_s=0.01, payloads=25, events=7)).purge()
    assert dict(+done) == {"payloads": 25, "events": 7}
    assert str(done) == "25 payloads, 7 events"
    assert not done.more


def test_nothing_old_is_said_so(caplog: pytest.LogCaptureFixture) -> None:
    """A call that finds nothing says so to its caller, and nothing to the log."""
    clock = Clock()
    with caplog.at_level(logging.INFO):
        assert str(service(clock, Counted(clock)).purge()) == "nothing is old enough"
        assert caplog.text == ""
        service(clock, Counted(clock, replays=2)).purge()
    assert "retention: 2 replays" in caplog.text


def test_it_rests_after_each_batch() -> None:
    """Five times as long as the batch took: a sixth of the time is spent on it."""
    clock = Clock()
    service(clock, Counted(clock, takes_s=0.02, payloads=30)).purge()
    assert clock.slept == [0.1] * 8


def test_a_call_ends_in_time_and_the_next_goes_on() -> None:
    """No batch begins once time is up; the next call begins where this one came to."""
    clock = Clock()
    purging = service(clock, Counted(clock, payloads=75))
    first = purging.purge()
    assert (first["payloads"], first.more) == (50, True)
    assert clock.now - 1000 == pytest.approx(5.0)
    second = purging.purge()
    assert (second["payloads"], second.more) == (25, False)


def test_the_last_rest_is_cut_and_told() -> None:
    """What is left of it, the next call has to wait for."""
    clock = Clock()
    done = service(clock, Counted(clock, takes_s=4.0, payloads=99)).purge()
    assert (clock.slept, done.rest) == ([1.0], 19 * SECOND)
    done = service(clock, Counted(clock, takes_s=6.0, payloads=99)).purge()
    assert (clock.slept, done.rest) == ([1.0, 0.0], 30 * SECOND)


def test_the_kinds_take_turns() -> None:
    """Much of one kind keeps no other waiting, and what has come to its end is not asked again."""
    clock = Clock()
    store = Counted(clock, takes_s=0.01, payloads=45, attempts=15)
    service(clock, store).purge()
    kinds = [kind for kind, _ in store.asked]
    assert kinds[:5] == ["payloads", "attempts", "events", "replays", "webhooks"]
    assert kinds[5:] == ["payloads", "attempts", "payloads", "payloads", "payloads"]


def test_each_kind_has_its_period() -> None:
    """Payloads go by the shorter of theirs and the events', since only what has none is removed."""
    clock = Clock()
    store = Counted(clock)
    RetentionService(
        store,
        Periods(events=2 * DAY, payloads=3 * DAY, attempts=DAY),
        sleep=clock.sleep,
        monotonic=clock,
    ).purge()
    assert store.asked == [
        ("payloads", 2 * DAY),
        ("attempts", DAY),
        ("events", 2 * DAY),
        ("replays", 2 * DAY),
        ("webhooks", 2 * DAY),
    ]


def test_the_periods_are_the_contracts() -> None:
    """Ninety days for events, thirty for payloads and attempts."""
    assert Periods() == Periods(events=90 * DAY, payloads=30 * DAY, attempts=30 * DAY)


def test_a_store_that_is_away_is_said_and_nothing_is_forgotten() -> None:
    """The error goes on to the caller; the next call goes on where the batches before it came to."""
    clock = Clock()
    store = Counted(clock, takes_s=0.01, payloads=15)
    purging = service(clock, store)
    store.away.add("attempts")
    with pytest.raises(UnavailableError):
        purging.purge()
    store.away.clear()
    assert purging.purge()["payloads"] == 5


def test_two_at_once_remove_each_row_once() -> None:
    """Over one store, whoever comes second finds what the first has left."""
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
    one, two = (service(clock, InMemoryRetentionStore(store), batch=10) for _ in range(2))
    assert one.purge() + two.purge() == Purged(payloads=25, events=25)
    with InMemoryUnitOfWork(store) as unit:
        assert unit.events.list_page(workspace.id, limit=99) == []
