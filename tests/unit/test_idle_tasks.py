"""How many tasks have nothing to do while a third of the endpoints fails, in time that the test moves."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

from noteflow_hooks.delivery.tuning import RETRY_GATHER_S, RETRY_WINDOW
from tests.support.simulated_worker import ENDPOINTS, LATENCY_S, SECONDS, Worker

if TYPE_CHECKING:
    from uuid import UUID

NOTHING: Final = ("nothing due", "nothing to deliver")


def test_few_tasks_have_nothing_to_do_while_a_third_of_the_endpoints_fails() -> None:
    """Below a tenth, by what the tasks say; and the attempts are as many as they say."""
    worker = Worker()
    worker.run(events_per_s=2)
    idle = sum(each in NOTHING for each in worker.results)
    assert idle < 0.1 * len(worker.results), worker.results
    assert len(worker.attempts) > 2 * SECONDS * ENDPOINTS * 2 / 3


def test_no_retry_is_later_for_the_messages_that_are_saved() -> None:
    """Each comes within its wait's jitter, the window that retries share, and what a message takes."""
    worker = Worker()
    worker.run(events_per_s=2)
    seen: dict[UUID, list[float]] = {}
    for delivery_id, moment in worker.attempts:
        seen.setdefault(delivery_id, []).append(moment)
    waits = [
        (number, later - earlier) for each in seen.values() for number, (earlier, later) in enumerate(pairwise(each))
    ]
    assert len(waits) > SECONDS
    slack = RETRY_WINDOW.total_seconds() + RETRY_GATHER_S + 2 * LATENCY_S
    assert [wait for number, wait in waits if not 0.8 * 2**number <= wait <= 1.2 * 2**number + slack] == []
