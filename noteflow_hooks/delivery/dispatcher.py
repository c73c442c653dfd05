"""Committed events become deliveries, a batch at a time; one task of a process is at it, for all of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from noteflow_hooks.concurrency.coalescer import Coalescer
from noteflow_hooks.delivery.claimer import LeasedClaim
from noteflow_hooks.delivery.tuning import DISPATCH_PAGE
from noteflow_hooks.delivery.wake_ups import Lane
from noteflow_hooks.domain.ports.delivery_store import EVENTS_PER_ROUND

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from noteflow_hooks.delivery.tuning import Clock, DeliveryRules
    from noteflow_hooks.delivery.wake_ups import WakeUps
    from noteflow_hooks.domain.ports.delivery_store import DeliveryStore, Dispatched


@dataclass(slots=True)
class DispatchedWork:
    """What dispatching leaves to its caller."""

    #: How many deliveries were made, those enqueued along the way included.
    made: int = 0
    #: Inline claims: what was claimed as it was made. Nobody else sends them before their leases end.
    claims: list[LeasedClaim] = field(default_factory=list)
    #: Where there are no claims: what is left, at most a chunk, for the caller to send or to enqueue.
    chunk: list[UUID] = field(default_factory=list)
    #: What ended dispatching early, to be raised once the claims are sent.
    error: Exception | None = None


class Dispatcher:
    """Dispatches for all tasks of a process."""

    def __init__(self, store: DeliveryStore, *, rules: DeliveryRules, clock: Clock) -> None:
        """A message names as many deliveries as the rules say."""
        self._store = store
        self._rules = rules
        self._clock = clock
        self._slack_s = rules.lease_slack.total_seconds()
        self._coalescer: Coalescer[UUID] = Coalescer(most=EVENTS_PER_ROUND)

    def dispatch(self, event_ids: Sequence[UUID], *, room: int, wake_ups: WakeUps) -> DispatchedWork:
        """Make deliveries of the named events and of all others that wait; return what the caller is to send.

        As many deliveries as there is ``room`` for are claimed in the same statement. Full chunks of the others are
        enqueued as soon as they are made, so that a large fan-out flows meanwhile. Where another task
        dispatches, that one takes these events too, and nothing is left to this one.
        """
        work = DispatchedWork()
        with self._coalescer.lead(event_ids) as batches:
            try:
                for batch in batches:
                    began = self._clock.monotonic()
                    size = room - len(work.claims)
                    page = self._store.dispatch(
                        batch, limit=DISPATCH_PAGE, claim=size, lease_slack=self._rules.lease_slack
                    )
                    for claim in page.claims:
                        work.claims.append(LeasedClaim(claim, began + self._slack_s, wake_ups))
                    if page.more:
                        # Together with what others bring meanwhile.
                        batches.go_on()
                    if page.delivery_ids or page.throttled or page.throttled_slow:
                        self._pass_on(page, work, wake_ups)
                if work.claims and work.chunk:
                    wake_ups.enqueue(work.chunk, if_room=False)
                    work.chunk = []
            except Exception as error:  # noqa: BLE001 - raised by the caller, once it has sent what is claimed
                work.error = error
        work.made += len(work.claims)
        return work

    def _pass_on(self, page: Dispatched, work: DispatchedWork, wake_ups: WakeUps) -> None:
        """Enqueue full chunks, and leave the rest for the next page to fill up; wake lanes for what is throttled."""
        work.made += len(page.delivery_ids)
        # In front, since every workspace's first delivery is among a page's first.
        waiting, size, is_first = [*page.delivery_ids, *work.chunk], self._rules.chunk, True
        while len(waiting) > size:
            wake_ups.enqueue(waiting[:size], if_room=not is_first)
            del waiting[:size]
            is_first = False
        work.chunk = waiting
        if page.throttled:
            wake_ups.wake(Lane.QUICK)
        if page.throttled_slow:
            wake_ups.wake(Lane.SLOW)
