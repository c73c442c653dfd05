"""What one who watches is told: news alone, so much at once, and what was left out is counted."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from noteflow_hooks.application.deliveries import DeliveryView
from noteflow_hooks.application.watching import Seen, check_since
from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.paging import DeliveryChange, DeliveryFilter
from noteflow_hooks.errors import InvalidInputError, UnavailableError
from noteflow_hooks.rpc.watching.watcher import WAITING, Notice, Watcher
from tests.support.builders import NOON, a_delivery

OWN = uuid4()


def seen(*, workspace_id: UUID = OWN, meeting_id: str | None = None, is_dead: bool = False) -> Seen:
    dead = {"status": DeliveryStatus.DEAD, "next_attempt_at": None}
    delivery = a_delivery(**(dead if is_dead else {}))
    return Seen(DeliveryChange(delivery, workspace_id, meeting_id), DeliveryView(delivery, None))


async def all_of_it(watcher: Watcher) -> list[Notice]:
    """Return all that waits, up to the heartbeat."""
    found = []
    while (notice := await watcher.next(within_s=0.01)).view is not None:
        found.append(notice)
    return found


def read(watcher: Watcher) -> list[Notice]:
    return asyncio.run(all_of_it(watcher))


def a_watcher(criteria: DeliveryFilter | None = None) -> Watcher:
    return Watcher(OWN, uuid4(), criteria if criteria is not None else DeliveryFilter(), at=NOON)


def test_the_same_look_is_told_once_and_another_one_again() -> None:
    """However often it is found."""
    watcher, made = a_watcher(), seen()
    failed = Seen(made.change, DeliveryView(made.view.delivery._replace(attempt_count=1), "why"))
    for each in (made, made, failed, failed, made):
        watcher.offer(each, since=NOON)
    assert [told.view.delivery.attempt_count for told in read(watcher) if told.view] == [0, 1, 0]


def test_nothing_of_another_workspace_or_beside_the_filter_is_told() -> None:
    """Its own meeting's dead ones are."""
    watcher = a_watcher(DeliveryFilter(status=DeliveryStatus.DEAD, meeting_id="m-1"))
    mine, other = seen(meeting_id="m-1", is_dead=True), seen(meeting_id="m-2", is_dead=True)
    for each in (mine, other, seen(meeting_id="m-1"), seen(workspace_id=uuid4(), meeting_id="m-1", is_dead=True)):
        watcher.offer(each, since=NOON)
    assert [told.view for told in read(watcher)] == [mine.view]


def test_the_oldest_are_left_out_where_nobody_reads_and_counted_with_the_next_one() -> None:
    """Once: what comes after that was read in time."""

    async def reading() -> tuple[list[Notice], list[Notice]]:
        watcher = a_watcher()
        for each in many:
            watcher.offer(each, since=NOON)
        first = await all_of_it(watcher)
        watcher.offer(seen(), since=NOON)
        return first, await all_of_it(watcher)

    many = [seen() for _ in range(WAITING + 7)]
    first, second = asyncio.run(reading())
    assert [each.view for each in first] == [each.view for each in many[7:]]
    assert [each.missed for each in first] == [7] + [0] * (WAITING - 1)
    assert [each.missed for each in second] == [0]


def test_an_end_comes_before_whatever_waits() -> None:
    """A reader that is slow learns of it at once."""
    watcher = a_watcher()
    watcher.offer(seen(), since=NOON)
    watcher.end(UnavailableError("over"))
    with pytest.raises(UnavailableError, match="over"):
        asyncio.run(watcher.next(within_s=1))


def test_a_watch_begins_within_the_last_ten_minutes_or_later() -> None:
    """The bound itself is allowed."""
    for ago in (timedelta(minutes=10), timedelta(0), -timedelta(hours=1)):
        assert check_since(NOON - ago, now=NOON) == NOON - ago
    with pytest.raises(InvalidInputError, match="since"):
        check_since(NOON - timedelta(minutes=10, microseconds=1), now=NOON)
