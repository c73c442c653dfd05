"""A worker's way with filters: what it asks takes of the time for which a claim is leased."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from noteflow_hooks.delivery.service import DeliveryService
from noteflow_hooks.delivery.tuning import Clock
from noteflow_hooks.domain.filters import MATCHED
from noteflow_hooks.domain.options import EndpointOptions
from noteflow_hooks.domain.ports.filters import FilterEvaluator
from tests.support.delivery_system import OK, System

if TYPE_CHECKING:
    from noteflow_hooks.domain.deliveries import AttemptResult, Claim
    from noteflow_hooks.domain.filters import Verdict


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
    assert sent(takes_s=6.0) == 1
