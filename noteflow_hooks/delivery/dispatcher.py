"""Committed events become deliveries, a page at a time; one task of a process is at it, for all of them.

What a page leases is sent before the next page is made: who has made it leads no more, and the next one does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from noteflow_hooks.concurrency.coalescer import Coalescer
from noteflow_hooks.delivery.claimer import LeasedClaim
from noteflow_hooks.delivery.tuning import DISPATCH_PAGE, LEFT_OVER_AFTER, PAGE_GROWTH, ROOM_PATIENCE_S
from noteflow_hooks.delivery.wake_ups import Lane
from noteflow_hooks.domain.batches import BatchClaim
from noteflow_hooks.domain.ports.delivery_store import EVENTS_PER_ROUND

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import ExitStack
    from uuid import UUID

    from noteflow_hooks.concurrency.bulkhead import Bulkhead, Permits
    from noteflow_hooks.concurrency.coalescer import Leadership
    from noteflow_hooks.delivery.tuning import Clock, DeliveryRules
    from noteflow_hooks.delivery.wake_ups import WakeUps
    from noteflow_hooks.domain.ports.delivery_store import DeliveryStore, Dispatched


@dataclass(slots=True)
class DispatchedWork:
    """What dispatching leaves to its caller."""

    #: How many deliveries were made, those enqueued along the way included.
    made: int = 0
    #: Permits for the claims' POSTs.
    permits: Permits | None = None
    #: What was claimed as it was made. Nobody else sends it before its lease ends.
    claims: list[LeasedClaim] = field(default_factory=list)
    #: Where there are no claims: what is left, at most a chunk, for the caller to send or to enqueue.
    chunk: list[UUID] = field(default_factory=list)
    #: Whether more waited, as :attr:`Dispatcher.is_more` has it, when this was made.
    is_more: bool = False
    #: What ended dispatching early, to be raised once the claims are sent.
    error: Exception | None = None


class PageSizes:
    """How large the next page is: what it makes is to be leased, and what can't be leased must not hold up the rest."""

    def __init__(self) -> None:
        #: How many deliveries an event makes, by the page before.
        self._width = 1.0
        #: How many deliveries a POST takes, by the page before: more than one where they go in batches.
        self._together = 1
        #: How many times larger than the room a page is.
        self._scale = 1

    def next(self, room: int) -> tuple[int, int]:
        """Return how many deliveries the next page makes at the most, and of how many events."""
        wanted = min(DISPATCH_PAGE, room * self._scale) if room else DISPATCH_PAGE
        # An event that has somewhat more endpoints than there is room for is finished all the same, with others' help.
        limit = min(DISPATCH_PAGE, 2 * wanted * self._together)
        return limit, min(EVENTS_PER_ROUND, max(1, math.ceil(wanted / self._width)))

    def note(self, page: Dispatched, *, room: int) -> None:
        """Learn from a page that there was so much room for."""
        made = len(page.claims) + len(page.delivery_ids)
        if page.events:
            self._width = max(made, 1) / page.events
        self._together = max((len(each.members) for each in page.claims if isinstance(each, BatchClaim)), default=1)
        # One event for thousands of endpoints is one task's at a time: others get what it makes as messages. And what
        # endpoints have no room for is made in large pages, so that what waits behind it comes soon.
        is_left = bool(page.delivery_ids) or page.throttled or page.throttled_slow
        is_slow = page.more and (not page.events or (is_left and 2 * len(page.claims) < room))
        self._scale = min(DISPATCH_PAGE, self._scale * PAGE_GROWTH) if is_slow else 1


class Dispatcher:
    """Dispatches for all tasks of a process."""

    def __init__(self, store: DeliveryStore, *, rules: DeliveryRules, clock: Clock) -> None:
        """A message names as many deliveries as the rules say."""
        self._store = store
        self._rules = rules
        self._clock = clock
        self._slack_s = rules.lease_slack.total_seconds()
        self._coalescer: Coalescer[UUID] = Coalescer(most=EVENTS_PER_ROUND)
        self._sizes = PageSizes()
        #: Whether the last page left some of what waits in the store.
        self._page_said_more = False
        self._waits_for_room = False
        #: Whether the last page had some for endpoints with batches: those of the next one are leased, too.
        self._leases_batches = False

    @property
    def is_more(self) -> bool:
        """Whether something waits to be dispatched, as far as this process knows, that no task of it is just at."""
        return self._page_said_more or self._coalescer.needs_leader

    def dispatch(self, event_ids: Sequence[UUID], *, wake_ups: WakeUps) -> DispatchedWork:
        """Make deliveries of the named events and of all others that wait; lease none.

        Full chunks are enqueued as soon as they are made, so that a large fan-out flows meanwhile. Where another task
        dispatches, that one takes these events too, and nothing is left to this one.
        """
        work = DispatchedWork()
        with self._coalescer.lead(event_ids) as batches:
            self._make_pages(batches, work, wake_ups, room=0)
        return work

    def dispatch_page(
        self, event_ids: Sequence[UUID], *, bulkhead: Bulkhead, stack: ExitStack, wake_ups: WakeUps
    ) -> DispatchedWork:
        """Make as many deliveries as there is room for, and lease them; the caller is to send them at once.

        Permits are taken once it is this task's turn, and ``stack`` gives back what was not used. Pages that lease
        nothing are followed by others. Where another task dispatches, that one takes these events too.
        """
        if self._waits_for_room and 0 < len(event_ids) < self._rules.chunk:
            # Somebody's fresh events, behind a task that leads and waits for a whole chunk's permits.
            bulkhead.hurry()
        work = DispatchedWork()
        with self._coalescer.lead(event_ids, most=self._sizes.next(self._rules.chunk)[1]) as batches:
            if batches.first is not None:
                work.permits = stack.enter_context(self._reserve(bulkhead, is_long=len(event_ids) >= self._rules.chunk))
                self._make_pages(batches, work, wake_ups, room=work.permits.size)
                # While this task leads: whoever is to lead next counts as such until then.
                work.is_more = self.is_more
        if batches.first is None:
            # Who left it to this one, as the next, may be gone, and so may who was to lead in its place.
            work.is_more = self._page_said_more and not self._coalescer.is_led
        return work

    def _reserve(self, bulkhead: Bulkhead, *, is_long: bool) -> Permits:
        """Take permits, a chunk's at the most; while more than a few events wait, they are waited for."""
        chunk = self._rules.chunk
        if not (is_long or self._page_said_more):
            return bulkhead.reserve_free(chunk)
        self._waits_for_room = True
        try:
            return bulkhead.reserve_within(chunk, timeout_s=ROOM_PATIENCE_S)
        finally:
            self._waits_for_room = False

    def _make_pages(self, batches: Leadership[UUID], work: DispatchedWork, wake_ups: WakeUps, *, room: int) -> None:
        try:
            batch = batches.first
            while batch is not None:
                page = self._page(batch, work, wake_ups, room=room)
                if page.claims:
                    break
                # Where there is more, it goes together with what others have brought meanwhile.
                batch = batches.further(wants_more=page.more)
            if work.claims and work.chunk:
                if len(work.claims) < room and 2 * len(work.chunk) < len(work.claims):
                    # A few whose endpoints are full or being examined: each page of a backlog has some.
                    wake_ups.retry_later(work.chunk, delay=LEFT_OVER_AFTER)
                else:
                    wake_ups.enqueue(work.chunk, if_room=False)
                work.chunk = []
        except Exception as error:  # noqa: BLE001 - raised by the caller, once it has sent what is claimed
            work.error = error

    def _page(self, batch: list[UUID], work: DispatchedWork, wake_ups: WakeUps, *, room: int) -> Dispatched:
        began = self._clock.monotonic()
        limit, events = self._sizes.next(room)
        slack, leases = self._rules.lease_slack, self._leases_batches
        page = self._store.dispatch(batch, limit=limit, events=events, claim=room, batches=leases, lease_slack=slack)
        self._page_said_more = page.more
        self._leases_batches = page.batched
        self._sizes.note(page, room=room)
        work.claims += [LeasedClaim(claim, began + self._slack_s, wake_ups) for claim in page.claims]
        work.made += sum(len(each.members) if isinstance(each, BatchClaim) else 1 for each in page.claims)
        if page.delivery_ids or page.throttled or page.throttled_slow:
            self._pass_on(page, work, wake_ups)
        return page

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
