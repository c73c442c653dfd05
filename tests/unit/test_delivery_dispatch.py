"""Events become deliveries: in chunks for others, and a few of them sent by who dispatches them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock
from uuid import UUID, uuid4

import pytest

from noteflow_hooks.delivery import dispatcher
from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.ports.delivery_store import Dispatched
from noteflow_hooks.errors import UnavailableError
from noteflow_hooks.persistence.memory import InMemoryDeliveryStore
from tests.support.waiting import until
from tests.support.wake_ups import KeptWakeUps

if TYPE_CHECKING:
    from tests.support.delivery_system import System


def test_what_was_committed_is_dispatched_in_chunks(system: System) -> None:
    """Twelve events for one endpoint come out as chunks of five, five and two."""
    system.subscribed()
    system.events(12)
    assert [len(chunk) for chunk in system.dispatched()] == [5, 5, 2]
    assert system.dispatched() == []


def test_a_fan_out_beyond_a_page_is_dispatched_to_its_end(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of three still make a delivery for each of eight endpoints, once."""
    monkeypatch.setattr(dispatcher, "DISPATCH_PAGE", 3)
    for _ in range(8):
        system.subscribed()
    made = [each for chunk in system.dispatched(system.events(1)) for each in chunk]
    assert len(made) == len(set(made)) == 8


def test_a_large_fan_out_flows_while_it_is_made(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first page's chunk is enqueued before the second page is made."""
    monkeypatch.setattr(dispatcher, "DISPATCH_PAGE", 6)
    enqueued: list[int] = []
    dispatch = system.store.dispatch

    def counted(*args: Any, **options: Any) -> Dispatched:  # noqa: ANN401 - the store's own
        enqueued.append(len(wake_ups.chunks))
        return dispatch(*args, **options)

    wake_ups = KeptWakeUps()
    monkeypatch.setattr(system.store, "dispatch", counted)
    system.subscribed()
    system.events(12)
    system.service.dispatch([], wake_ups=wake_ups)
    assert enqueued[:2] == [0, 1]


def test_a_full_queue_gets_a_page_s_first_chunk_and_no_more(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 22 deliveries in pages of 15: a chunk of five of each page and what is left, although there is no room."""
    monkeypatch.setattr(dispatcher, "DISPATCH_PAGE", 15)
    system.subscribed()
    system.events(22)
    assert [len(chunk) for chunk in system.dispatched(has_room=False)] == [5, 5, 2]
    system.deliver([])
    assert len(system.sent) == 22


def test_a_page_s_first_chunk_names_its_own_first_deliveries(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left of the page before goes behind them: every workspace's first delivery is among a page's first."""
    pages = [uuid4() for _ in range(8)], [uuid4() for _ in range(6)]
    made = [Dispatched(tuple(page), events=1, more=page is pages[0]) for page in pages]
    monkeypatch.setattr(system.store, "dispatch", lambda *_, **__: made.pop(0))
    assert system.dispatched(has_room=False) == [pages[0][:5], pages[1][:5], [pages[1][5], *pages[0][5:]]]


def a_few_events(system: System, count: int) -> list[UUID]:
    """Store an endpoint and so many events for it; return the events' ids."""
    system.subscribed()
    return system.events(count)


def test_a_few_events_are_sent_by_who_dispatches_them(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a claim of their own, and without a message to anybody."""
    monkeypatch.delattr(InMemoryDeliveryStore, "claim")
    made, outcomes = system.service.dispatch_and_deliver(a_few_events(system, 3), wake_ups=system.wake_ups)
    assert (made, outcomes, system.wake_ups.enqueued) == (3, {"succeeded": 3}, [])
    assert len(system.sent) == 3


def test_what_there_is_no_room_for_is_enqueued(system: System) -> None:
    """Of seven deliveries a chunk of five is sent here, and two by others."""
    made, outcomes = system.service.dispatch_and_deliver(a_few_events(system, 7), wake_ups=system.wake_ups)
    enqueued = system.wake_ups.enqueued
    assert (made, outcomes) == (7, {"succeeded": 5})
    assert len(enqueued) == len({*enqueued, *system.sent}) - 5 == 2


def test_of_many_events_a_chunk_is_claimed_as_it_is_made(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of twelve at once five are sent by who dispatches them; the rest is claimed by whoever takes its chunks."""
    monkeypatch.delattr(InMemoryDeliveryStore, "claim")
    made, outcomes = system.service.dispatch_and_deliver(a_few_events(system, 12), wake_ups=system.wake_ups)
    assert (made, [len(chunk) for chunk, _ in system.wake_ups.chunks]) == (12, [5, 2])
    assert len(set(system.sent)) == outcomes["succeeded"] == 5


def test_where_no_permit_is_free_all_is_enqueued_but_for_a_last_chunk(system: System) -> None:
    """That one waits for permits, as each chunk does that others take, and is topped up with the rest."""
    with system.bulkhead.reserve_free(99):
        waiting = threading.Thread(
            target=system.service.dispatch_and_deliver,
            args=[a_few_events(system, 12)],
            kwargs={"wake_ups": system.wake_ups},
        )
        waiting.start()
        until(lambda: len(system.wake_ups.chunks) == 2, what="two chunks are enqueued")
        assert system.sent == []
    waiting.join()
    assert len(set(system.sent)) == 12


def test_whatever_becomes_of_the_rest_claims_are_sent(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """Although the rest can't be enqueued, and the task fails then."""
    events = a_few_events(system, 7)

    def refuse(delivery_ids: list[UUID], *, if_room: bool) -> None:
        assert delivery_ids
        assert not if_room
        raise UnavailableError("Redis is not reachable")

    monkeypatch.setattr(system.wake_ups, "enqueue", refuse)
    with pytest.raises(UnavailableError, match="Redis"):
        system.service.dispatch_and_deliver(events, wake_ups=system.wake_ups)
    assert [system.read(each).status for each in system.sent] == [DeliveryStatus.SUCCEEDED] * 5


def test_permits_that_are_not_needed_are_free_again(system: System) -> None:
    """Nobody subscribed: nothing is claimed, and all permits can be had."""
    assert system.service.dispatch_and_deliver([uuid4()], wake_ups=system.wake_ups) == (0, {})
    assert system.bulkhead.reserve_free(99).size == 8


def test_a_dispatch_that_fails_leaves_nobody_waiting(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its error goes up, and the next task leads, whoever keeps the error and its traceback."""
    events = a_few_events(system, 1)
    with monkeypatch.context() as patch:
        patch.setattr(system.store, "dispatch", Mock(side_effect=UnavailableError))
        with pytest.raises(UnavailableError) as kept:
            system.service.dispatch(events, wake_ups=system.wake_ups)
    assert kept.tb is not None
    assert len(system.dispatched()) == 1
