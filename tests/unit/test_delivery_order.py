"""A worker's way with endpoints that keep an order: who sends what a settled head lets go."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING

from noteflow_hooks.delivery.wake_ups import Lane
from noteflow_hooks.domain.options import EndpointOptions, Ordering
from tests.support.builders import an_event
from tests.support.delivery_system import OK, System
from tests.support.waiting import PATIENCE_S, until

if TYPE_CHECKING:
    from noteflow_hooks.domain.deliveries import AttemptResult, Claim

IN_ORDER = EndpointOptions(ordering=Ordering.PER_MEETING)
WAKE_NOW = (Lane.QUICK, timedelta(0))


def published(system: System, *meetings: str) -> None:
    """Record an event of each of these meetings, and dispatch them."""
    with system.unit() as unit:
        for each in meetings:
            unit.events.append(an_event(workspace_id=system.workspace.id, meeting_id=each))
        unit.commit()
    system.dispatched()
    system.wake_ups.woken.clear()


def test_a_task_that_settles_a_head_sends_the_next_one_itself() -> None:
    """Without a message: another task would only stand in its way."""
    system = System()
    system.subscribed(options=IN_ORDER)
    published(system, "a", "a", "a")
    assert system.deliver([])["succeeded"] == 3
    assert WAKE_NOW not in system.wake_ups.woken


def test_what_a_head_lets_go_does_not_wait_for_others_of_its_task() -> None:
    """While another receiver takes its time, somebody else is woken for it."""
    answered = threading.Event()

    def answer(claim: Claim) -> AttemptResult:
        if claim.delivery.ordered_meeting == "b":
            answered.wait(PATIENCE_S)
        return OK

    system = System(answer)
    system.subscribed(options=IN_ORDER)
    published(system, "a", "a", "b")
    task = threading.Thread(target=system.deliver, args=[[]])
    task.start()
    until(lambda: WAKE_NOW in system.wake_ups.woken, what="another task is woken")
    answered.set()
    task.join(PATIENCE_S)
