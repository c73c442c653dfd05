"""When a process hints to itself at turns: not while its tasks go on anyway, and never so that a turn is forgotten."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID, uuid4

from noteflow_hooks.delivery.claimer import Claimer
from noteflow_hooks.domain.ports.delivery_store import Claimed, SchedulingSlot

if TYPE_CHECKING:
    from noteflow_hooks.domain.ports.delivery_store import DeliveryStore

NOW = SchedulingSlot(timedelta(0), slow=False)


class Empty:
    """A store in which no turn has anything to take."""

    def claim_throttled(self, **_: Any) -> Claimed:  # noqa: ANN401 - the port's own arguments
        return Claimed([])


class Busy:
    """A store in which somebody else has the endpoint of half of what is named."""

    def claim(self, *_: Any, **__: Any) -> Claimed:  # noqa: ANN401 - the port's own arguments
        return Claimed([], passed_over=True)


class Process:
    """A claimer, how many of its tasks go on, and the hints that it sent."""

    def __init__(self, *, loops: int, store: object | None = None) -> None:
        self.loops = loops
        self.hints: list[tuple[timedelta, bool]] = []
        self.named: list[UUID] = []
        self.claimer = Claimer(
            cast("DeliveryStore", store if store is not None else Empty()),
            lease_slack=timedelta(seconds=1),
            countdown_max=timedelta(seconds=60),
            sleep=lambda _: None,
            monotonic=lambda: 100.0,
            loops=lambda: self.loops,
        )

    def hint(self, wait: timedelta, delivery_ids: list[UUID], *, slow: bool = False) -> None:
        self.named += delivery_ids
        self.hints.append((wait, slow))

    def hint_at(self, *turns: SchedulingSlot) -> None:
        self.claimer.hint_at(turns, self.hint)


def test_one_task_that_goes_on_brings_another_along() -> None:
    """Alone it would wait for its own receivers."""
    process = Process(loops=1)
    process.hint_at(NOW)
    assert process.hints == [(timedelta(0), False)]


def test_tasks_that_go_on_need_no_hint() -> None:
    """They look for turns themselves; later turns, and those of the slow lane, they don't take."""
    process = Process(loops=2)
    later, slow = SchedulingSlot(timedelta(seconds=1), slow=False), SchedulingSlot(timedelta(0), slow=True)
    process.hint_at(NOW, later, slow)
    assert process.hints == [(later.wait, False), (slow.wait, True)]


def test_a_task_that_ends_hints_at_the_turn_that_was_left_to_it() -> None:
    """Or nobody would look for it before the sweep does."""
    process = Process(loops=2)
    process.hint_at(NOW)
    process.loops = 0
    process.claimer.leave(process.hint)
    assert process.hints == [(timedelta(0), False)]


def test_a_task_that_ends_hints_at_nothing_once_somebody_has_looked() -> None:
    """What was there then has been taken."""
    process = Process(loops=2)
    process.hint_at(NOW)
    process.claimer.take([], size=5, hint=process.hint, slow=False, turns_only=True)
    process.claimer.leave(process.hint)
    assert process.hints == []


def test_a_few_that_were_passed_over_are_hinted_at_by_name() -> None:
    """They are somebody's fresh events, and need not wait behind a backlog."""
    process, ids = Process(loops=1, store=Busy()), [uuid4()]
    process.claimer.take(ids, size=50, hint=process.hint, slow=False)
    assert (process.named, [wait < timedelta(seconds=1) for wait, _ in process.hints]) == (ids, [True])


def test_what_chunks_of_a_backlog_passed_over_takes_one_hint() -> None:
    """Each chunk passes over the same endpoints'; whoever tops up takes what has been due for the longest."""
    process = Process(loops=1, store=Busy())
    for _ in range(10):
        process.claimer.take([uuid4() for _ in range(50)], size=50, hint=process.hint, slow=False)
    assert (process.named, len(process.hints)) == ([], 1)
