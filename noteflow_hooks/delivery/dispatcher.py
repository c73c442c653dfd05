"""Committed events become deliveries, a batch at a time, whose ids go on in chunks; one thread is at it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol
from uuid import UUID  # noqa: TC003 - a NamedTuple's fields

from noteflow_hooks.concurrency.coalescer import Coalescer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from noteflow_hooks.delivery.claimer import Hint
    from noteflow_hooks.domain.deliveries import Claim
    from noteflow_hooks.domain.ports.delivery_store import DeliveryStore, Dispatched

#: Deliveries made by one dispatching transaction, at the most.
DISPATCH_PAGE: Final = 2_000
#: The most events that one batch has, and one hint at events.
EVENTS_PER_HINT: Final = 500
#: So many events are a quiet moment's, whose deliveries are claimed as they are made. More are worth a chunk of their
#: own, which whoever is free takes.
FEW_EVENTS: Final = 10


class Chunk(NamedTuple):
    """Deliveries that one hint is to name."""

    ids: list[UUID]
    #: Whether the hint is wanted however many wait in the queue. Without it the deliveries are taken by those that do.
    is_first: bool


class HandOver(Protocol):
    """What hints at a chunk, for others to send."""

    def __call__(self, delivery_ids: list[UUID], *, if_room: bool) -> object:
        """Hint, with ``if_room`` only where the queue has room for one more; it must neither wait nor raise."""
        ...


class Own:
    """What the one who dispatches is to send, claimed as it was made."""

    def __init__(self, size: int, now: Callable[[], float]) -> None:
        """There is room for so many; ``now`` is this process's clock."""
        #: The moment, by this process's clock.
        self.now = now
        #: How many more there is room for.
        self.room = size
        #: The claims, each with the moment, by this process's clock, that its lease counts from at the earliest.
        self.claims: list[tuple[float, Claim]] = []

    def take(self, claims: Sequence[Claim], began: float) -> None:
        """Keep them."""
        self.claims += [(began, each) for each in claims]
        self.room -= len(claims)


class Dispatcher:
    """Dispatches for all tasks of a process."""

    def __init__(self, store: DeliveryStore, *, chunk: int, lease_slack: timedelta) -> None:
        """``chunk`` is how many deliveries one hint names."""
        self._store = store
        self._chunk = chunk
        self._lease_slack = lease_slack
        self._outbox = Coalescer(most=EVENTS_PER_HINT)

    def chunks(self, event_ids: Sequence[UUID], *, hint: Hint, own: Own | None = None) -> Iterator[Chunk]:
        """Make deliveries of the named events and of all others that wait; yield their ids in chunks.

        ``hint`` is called for what goes in its endpoints' turns instead. What of a few events ``own`` has room for is
        claimed, and not yielded. Where another thread is at it, that one takes these events too, and nothing is yielded
        here.
        """
        rest: list[UUID] = []
        for named in self._outbox.batches(event_ids):
            page = self._page(named, own)
            if page.more:
                # Together with what others bring meanwhile.
                self._outbox.go_on()
            yield from self._chunks_of(rest, page)
            for slow, is_due in ((False, page.throttled), (True, page.throttled_slow)):
                if is_due:
                    hint(timedelta(0), [], slow=slow)

    def _page(self, named: list[UUID], own: Own | None) -> Dispatched:
        if own is None or not own.room or not 0 < len(named) <= FEW_EVENTS:
            return self._store.dispatch(named, limit=DISPATCH_PAGE)
        began = own.now()
        page = self._store.dispatch(named, limit=DISPATCH_PAGE, claim=own.room, lease_slack=self._lease_slack)
        own.take(page.claims, began)
        return page

    def _chunks_of(self, rest: list[UUID], page: Dispatched) -> Iterator[Chunk]:
        """Yield chunks of what waits and of what the page brings; leave in ``rest`` what the next page may fill up."""
        rest.extend(page.delivery_ids)
        first = True
        while len(rest) >= self._chunk or (rest and not page.more):
            # Every workspace's first delivery is among a page's first.
            yield Chunk(rest[: self._chunk], first)
            del rest[: self._chunk]
            first = False
