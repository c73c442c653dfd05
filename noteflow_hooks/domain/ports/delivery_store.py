"""What workers need of the store: each call is a transaction of its own, and none is open during a POST."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from noteflow_hooks.domain.deliveries import Claim, Settlement
    from noteflow_hooks.domain.health.news import HealthNews
    from noteflow_hooks.domain.health.state import EndpointHealth

#: The most events that a round of dispatching takes, and the most that one message or one batch names.
EVENTS_PER_ROUND: Final = 500


class DeliveryStore(Protocol):
    """The workers' half: each method is one transaction of its own, and safe to run beside any other."""

    def now(self) -> datetime:
        """Return the time by the store's clock, from which all due times come."""
        ...

    def dispatch(
        self,
        event_ids: Sequence[UUID],
        *,
        limit: int,
        events: int = ...,
        claim: int = 0,
        batches: bool = False,
        lease_slack: timedelta = ...,
    ) -> Dispatched:
        """Make about ``limit`` deliveries at most, of the named events and then of others, until it is ``events``.

        The first ``claim`` of those that are due at once are claimed in the same transaction, as :meth:`claim` would.
        Those that their endpoints have no room for stay pending and are not throttled. With ``batches`` also whole
        batches of new deliveries are claimed, each as one of the ``claim``; a statement that knows none costs less.
        """
        ...

    def claim(self, delivery_ids: Sequence[UUID], *, limit: int, lease_slack: timedelta) -> Claimed:
        """Claim up to ``limit`` due deliveries, the named ones first; a lease is the endpoint's timeout and the slack.

        A delivery that its endpoint's breaker, limits or pause hold back stays pending and is throttled: it waits for
        one of that endpoint's scheduling slots.
        """
        ...

    def claim_throttled(self, *, limit: int, slow: bool, lease_slack: timedelta) -> Claimed:
        """Claim up to ``limit`` throttled deliveries of the endpoints that have a slot now, in one of the two lanes.

        Endpoints that are merely flooded may be served alone; the others that have a slot come next.
        """
        ...

    def settle(self, settlements: Sequence[Settlement]) -> Settled:
        """Store results, each only if its claim is still the newest, and their effect on their endpoints' health."""
        ...

    def mark_slow(self, webhook_ids: Collection[UUID]) -> Sequence[HealthNews]:
        """Move these endpoints to the slow lane; return the news of those that were not in it."""
        ...

    def waits(self, delivery_ids: Sequence[UUID]) -> Mapping[UUID, timedelta]:
        """Return how long those of the deliveries that are pending and not yet due have to wait."""
        ...

    def reclaim_expired(self, *, limit: int) -> int:
        """Reclaim up to ``limit`` deliveries whose leases have expired; return how many are free again.

        None are reclaimed right after a lock that results waited for, too, so that these are stored first. That may put
        off three runs in a row.
        """
        ...

    def undispatched(self, *, older_than: timedelta, limit: int) -> list[UUID]:
        """Return events that were committed at least so long ago and not dispatched yet, oldest first."""
        ...

    def due(self, *, overdue_by: timedelta, limit: int) -> list[UUID]:
        """Return deliveries that are not throttled and have been due for at least so long, longest first."""
        ...

    def count_throttled(self, *, limit: int) -> ThrottledCount:
        """Count the throttled deliveries of the endpoints that have a slot now, up to ``limit``.

        An endpoint with throttled deliveries and no slot, which only a change by hand can cause, is given one first.
        """
        ...


@dataclass(frozen=True, slots=True)
class Dispatched:
    """What one round of dispatching made."""

    #: The new deliveries that are due at once, neither throttled nor claimed.
    delivery_ids: tuple[UUID, ...]
    #: How many events were dispatched to the end.
    events: int
    #: Whether the round stopped at its limit, so that there may be more.
    more: bool
    #: Whether some are throttled and wait for their endpoints' slots, which are not yet to come: in the quick lane, and
    #: in the slow one.
    throttled: bool = False
    throttled_slow: bool = False
    #: The new deliveries that were claimed.
    claims: tuple[Claim, ...] = ()
    #: Whether some are for endpoints with batches; without ``batches``, of those that are throttled.
    batched: bool = False
    #: The traces of the events, with commas between; None where none has one, or where nobody looks.
    traceparents: str | None = None


@dataclass(frozen=True, slots=True)
class SchedulingSlot:
    """When an endpoint that is throttled may be claimed from next: so long from now, in the quick or the slow lane."""

    wait: timedelta
    slow: bool


@dataclass(frozen=True, slots=True)
class Claimed:
    """The claims that were made, and what else the call found."""

    claims: Sequence[Claim]
    #: How many were throttled: left to their endpoints' scheduling slots.
    throttled: int = 0
    #: Whether a named delivery was passed over, since somebody else was busy with it or its endpoint at that moment.
    passed_over: bool = False
    #: Whether an endpoint of the quick lane has a scheduling slot now.
    slots_due: bool = False
    #: Whether something was left to the scheduling slots of slow endpoints.
    slow_slots_due: bool = False
    #: The next slots of the endpoints that had one.
    slots: Sequence[SchedulingSlot] = ()
    #: Whether a meeting's deliveries wait for an event that is not dispatched yet.
    awaits_dispatch: bool = False

    def __iter__(self) -> Iterator[Claim]:
        """Go through the claims."""
        return iter(self.claims)

    def __len__(self) -> int:
        """Return how many claims there are."""
        return len(self.claims)


@dataclass(frozen=True, slots=True)
class Settled:
    """What was stored of some results."""

    #: The fencing keys of the claims whose results were stored; the other claims were lost. A batch may have several
    #: results of one delivery, of which one counts.
    fencing_keys: frozenset[tuple[UUID, int]]
    #: The scheduling slots that endpoints have next, because of these results.
    slots: Sequence[SchedulingSlot] = ()
    #: Events that were recorded, to be announced: an endpoint is failing, or was disabled.
    event_ids: Sequence[UUID] = ()
    #: What an operator is to read of endpoints' health.
    news: Sequence[HealthNews] = ()


def joined(parts: Sequence[Settled]) -> Settled:
    """Return what was stored of results in several parts."""
    return Settled(
        frozenset().union(*(each.fencing_keys for each in parts)),
        slots=[slot for each in parts for slot in each.slots],
        event_ids=[event_id for each in parts for event_id in each.event_ids],
        news=[one for each in parts for one in each.news],
    )


@dataclass(frozen=True, slots=True)
class ThrottledCount:
    """How many throttled deliveries belong to endpoints that have a slot now, by lane."""

    quick: int
    slow: int


def next_slots(healths: Iterable[EndpointHealth], *, now: datetime) -> list[SchedulingSlot]:
    """Return the next slots of those endpoints that have one coming.

    That of an endpoint which is being probed is none: the probe's result brings it forward, and where its worker has
    died the sweep finds it.
    """
    return [
        SchedulingSlot(wait=max(timedelta(0), each.turn_at - now), slow=each.slow_since is not None)
        for each in healths
        if each.turn_at is not None and (each.turn_at <= now or each.turn_at != each.probing_until)
    ]
