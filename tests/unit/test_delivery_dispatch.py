"""Events become deliveries: in chunks for others, and a few of them sent by who dispatches them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock
from uuid import UUID, uuid4

import pytest

from noteflow_hooks.delivery import dispatcher
from noteflow_hooks.delivery.tuning import LEFT_OVER_AFTER, ROUNDS
from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.ports.delivery_store import Dispatched
from noteflow_hooks.errors import UnavailableError
from noteflow_hooks.persistence.memory import InMemoryDeliveryStore
from tests.support.builders import an_event
from tests.support.waiting import PATIENCE_S, until
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


def test_a_burst_is_sent_page_by_page_without_claims(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve events in pages of a chunk, five each: nothing is claimed by itself, and no message names any of them."""
    monkeypatch.delattr(InMemoryDeliveryStore, "claim")
    made, outcomes = system.service.dispatch_and_deliver(a_few_events(system, 12), wake_ups=system.wake_ups)
    assert (made, outcomes, system.wake_ups.enqueued) == (12, {"succeeded": 12}, [])
    assert len(set(system.sent)) == 12


def test_what_a_page_leases_is_sent_before_the_next_one_is_made(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lease runs from its page on: whoever made the rest of a backlog first would send with leases that have aged."""
    monkeypatch.setattr(dispatcher, "DISPATCH_PAGE", 3)
    leased: list[int] = []
    waiting: list[int] = []
    dispatch = system.store.dispatch

    def watched(*args: Any, **options: Any) -> Dispatched:  # noqa: ANN401 - the store's own
        waiting.append(sum(leased) - len(system.sent))
        made = dispatch(*args, **options)
        leased.append(len(made.claims))
        return made

    monkeypatch.setattr(system.store, "dispatch", watched)
    system.service.dispatch_and_deliver(a_few_events(system, 11), wake_ups=system.wake_ups)
    assert (sum(leased), set(waiting)) == (11, {0})


def test_while_it_only_waits_to_lead_a_task_keeps_no_permits(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others can use them meanwhile: of eight who leads has a chunk's five. No third task is needed beside the two."""
    events, dispatch, goes_on = a_few_events(system, 2), system.store.dispatch, threading.Event()
    begun: list[None] = []

    def held(*args: Any, **options: Any) -> Dispatched:  # noqa: ANN401 - the store's own
        begun.append(None)
        goes_on.wait(PATIENCE_S)
        return dispatch(*args, **options)

    monkeypatch.setattr(system.store, "dispatch", held)
    tasks = [
        threading.Thread(
            target=system.service.dispatch_and_deliver, args=[[each]], kwargs={"wake_ups": system.wake_ups}
        )
        for each in events
    ]
    tasks[0].start()
    until(lambda: len(begun) == 1, what="the first one leads")
    tasks[1].start()
    coalescer = system.service._dispatcher._coalescer  # noqa: SLF001 - nothing else tells
    until(lambda: coalescer._has_next, what="the second one waits to lead")  # noqa: SLF001 - as said
    with system.bulkhead.reserve_free(3) as permits:
        free = permits.size
    goes_on.set()
    for each in tasks:
        each.join(PATIENCE_S)
    assert (free, len(set(system.sent)), system.wake_ups.dispatches) == (3, 2, 0)


def test_a_long_backlog_brings_others_to_it(system: System) -> None:
    """A task's first page of several has one more task come, and so has its last one, if there is still more."""
    events = a_few_events(system, 5 * ROUNDS + 1)
    system.service.dispatch_and_deliver(events[:3], wake_ups=system.wake_ups)
    assert (len(system.sent), system.wake_ups.dispatches) == (5 * ROUNDS, 2)
    system.service.dispatch_and_deliver([], wake_ups=system.wake_ups)
    assert (len(set(system.sent)), system.wake_ups.dispatches) == (5 * ROUNDS + 1, 2)


def test_who_leaves_its_events_to_others_calls_for_nobody(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside a backlog, with one task that leads and one that is next, a third has nothing to do, and no fourth has."""
    a_few_events(system, 5 * ROUNDS + 11)
    system.service.dispatch_and_deliver([], wake_ups=system.wake_ups)
    dispatch, goes_on, called = system.store.dispatch, threading.Event(), system.wake_ups.dispatches

    begun: list[None] = []

    def held(*args: Any, **options: Any) -> Dispatched:  # noqa: ANN401 - the store's own
        begun.append(None)
        goes_on.wait(PATIENCE_S)
        return dispatch(*args, **options)

    monkeypatch.setattr(system.store, "dispatch", held)
    coalescer = system.service._dispatcher._coalescer  # noqa: SLF001 - nothing else tells
    tasks = [
        threading.Thread(target=system.service.dispatch_and_deliver, args=[[]], kwargs={"wake_ups": system.wake_ups})
        for _ in range(2)
    ]
    tasks[0].start()
    # In the store by then, so that it is no longer the next one itself.
    until(lambda: len(begun) == 1, what="the first one leads")
    tasks[1].start()
    until(lambda: coalescer._has_next, what="the second one waits to lead")  # noqa: SLF001 - as said
    made, _ = system.service.dispatch_and_deliver([], wake_ups=system.wake_ups)
    more = system.wake_ups.dispatches - called
    goes_on.set()
    for each in tasks:
        each.join(PATIENCE_S)
    assert (made, more, len(set(system.sent))) == (0, 0, 5 * ROUNDS + 11)


def test_a_large_fan_out_s_first_page_is_sent_at_once_and_the_rest_is_others_too(system: System) -> None:
    """One event is one task's to dispatch at a time: most of 30 deliveries are left to whoever takes a message."""
    for _ in range(30):
        system.subscribed()
    made, outcomes = system.service.dispatch_and_deliver(system.events(1), wake_ups=system.wake_ups)
    assert (made, outcomes["succeeded"]) == (30, 10)
    assert len({*system.sent, *system.wake_ups.enqueued}) == 30


def test_behind_what_can_t_be_leased_pages_are_large(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint at its cap holds up nobody behind it: its deliveries are made without being sent, in a few pages."""
    system.subscribed(max_concurrency=1, events=("summary.generated",))
    sizes: list[int] = []
    dispatch = system.store.dispatch

    def counted(*args: Any, **options: Any) -> Dispatched:  # noqa: ANN401 - the store's own
        sizes.append(options["limit"])
        return dispatch(*args, **options)

    monkeypatch.setattr(system.store, "dispatch", counted)
    with system.unit() as unit:
        for _ in range(60):
            unit.events.append(an_event(workspace_id=system.workspace.id, event_type="summary.generated"))
        unit.commit()
    made, _ = system.service.dispatch_and_deliver([], wake_ups=system.wake_ups)
    assert (made, sizes) == (60, [10, 80, 640])


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
    system.subscribed(max_concurrency=3)

    def refuse(delivery_ids: list[UUID], *, if_room: bool) -> None:
        assert delivery_ids
        assert not if_room
        raise UnavailableError("Redis is not reachable")

    monkeypatch.setattr(system.wake_ups, "enqueue", refuse)
    with pytest.raises(UnavailableError, match="Redis"):
        system.service.dispatch_and_deliver(system.events(5), wake_ups=system.wake_ups)
    assert [system.read(each).status for each in system.sent] == [DeliveryStatus.SUCCEEDED] * 3


def test_the_few_that_a_page_could_not_lease_are_looked_for_together_a_moment_later(system: System) -> None:
    """Each page beside a full endpoint has some: a message for each page would cost a task and a claim."""
    system.subscribed(max_concurrency=3)
    system.service.dispatch_and_deliver(system.events(4), wake_ups=system.wake_ups)
    [(delay, left)] = system.wake_ups.retries
    assert (delay, len(left), system.wake_ups.enqueued) == (LEFT_OVER_AFTER, 1, [])


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
