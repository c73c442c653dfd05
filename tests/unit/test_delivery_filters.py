"""A worker's way with filters: what it asks takes of the time for which a claim is leased."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from noteflow_hooks.delivery.service import DeliveryService
from noteflow_hooks.delivery.tuning import Clock
from noteflow_hooks.domain.filters import MATCHED
from noteflow_hooks.domain.options import EndpointOptions
from noteflow_hooks.domain.ports.filters import FilterEvaluator
from tests.support.delivery_system import OK, System

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from noteflow_hooks.domain.deliveries import AttemptResult, Claim
    from noteflow_hooks.domain.filters import Verdict

#: How long to wait for what comes at once, or never.
_MOMENT_S: Final = 3.0


class Slow(FilterEvaluator):
    """Lets all pass, and takes so many seconds each."""

    def __init__(self, takes_s: float) -> None:
        self.now = 0.0
        self._takes_s = takes_s

    @override
    def check(self, text: str) -> None: ...

    @override
    def evaluate(self, text: str, *, event_type: str, payload: bytes) -> Verdict:
        self.now += self._takes_s
        return MATCHED


def sent(takes_s: float) -> int:
    """Return how many of three POSTs begin, each after a filter that takes so long, of a lease for ten seconds."""
    posted: list[Claim] = []

    def post(claim: Claim) -> AttemptResult:
        posted.append(claim)
        return OK

    system, filters = System(), Slow(takes_s)
    ids = system.deliveries(3, options=EndpointOptions(filter="true"))
    clock = Clock(monotonic=lambda: filters.now, sleep=lambda _: None, draw=lambda: 0.5)
    service = DeliveryService(system.store, post, system.bulkhead, rules=system.rules, filters=filters, clock=clock)
    service.deliver(ids, wake_ups=system.wake_ups)
    return len(posted)


def test_no_post_begins_that_its_filter_has_kept_for_too_long() -> None:
    """It might end after its lease, and be sent by somebody else, too."""
    assert sent(takes_s=1.0) == 3
    assert sent(takes_s=11.0) == 0


class Costly(FilterEvaluator):
    """Takes 30 ms by the clock; from the second time on, it ends only once another endpoint has its POST."""

    def __init__(self, *, quick: int) -> None:
        self.now = 0.0
        self.posted = threading.Event()
        #: For each time that it was waited for, whether that was in vain.
        self.in_vain: list[bool] = []
        self._quick = quick

    @override
    def check(self, text: str) -> None: ...

    @override
    def evaluate(self, text: str, *, event_type: str, payload: bytes) -> Verdict:
        self.now += 0.03
        self._quick -= 1
        if self._quick < 0:
            self.in_vain.append(not self.posted.wait(_MOMENT_S))
        return MATCHED


class Shared:
    """A worker of which one endpoint's costly filter is asked, and that posts to others, too."""

    def __init__(self, *, quick: int) -> None:
        self.system = System(chunk=10)
        self.filters = Costly(quick=quick)
        self.others: list[UUID] = []

    def deliver(self, ids: Sequence[UUID]) -> None:
        """Deliver these, and what has a slot."""
        system, filters = self.system, self.filters
        clock = Clock(monotonic=lambda: filters.now, sleep=lambda _: None, draw=lambda: 0.5)
        service = DeliveryService(
            system.store, self._post, system.bulkhead, rules=system.rules, filters=filters, clock=clock
        )
        service.deliver(ids, wake_ups=system.wake_ups)
        service.close()

    def _post(self, claim: Claim) -> AttemptResult:
        if not claim.webhook.options.filter:
            self.others.append(claim.webhook.id)
            self.filters.posted.set()
        return OK

    def assert_nobody_waited(self) -> None:
        """The filter was asked beside the others' POSTs."""
        assert self.others
        assert self.filters.in_vain
        assert not any(self.filters.in_vain)


def test_costly_filters_keep_nobody_elses_posts_waiting() -> None:
    """Once they have taken their time of a chunk, they are asked in the threads that post."""
    shared = Shared(quick=1)
    ids = shared.system.deliveries(3, options=EndpointOptions(filter="true"))
    shared.deliver([*ids, *shared.system.deliveries(1)])
    shared.assert_nobody_waited()


def test_the_filter_of_a_batch_keeps_nobody_elses_posts_waiting() -> None:
    """A hundred times for one POST, it is asked in that one's thread from the start."""
    shared = Shared(quick=0)
    shared.system.subscribed(options=EndpointOptions(filter="true", batch_max=3))
    shared.system.events(3)
    shared.system.dispatched()
    shared.system.subscribed(options=EndpointOptions(batch_max=3))
    shared.system.events(1)
    shared.system.dispatched()
    shared.deliver(())
    shared.assert_nobody_waited()
