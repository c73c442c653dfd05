"""What workers need of the store: each call is one transaction of its own, and none is open during a POST."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from datetime import datetime, timedelta
    from uuid import UUID

    from noteflow_hooks.domain.deliveries import Claim, Settlement


class DeliveryStore(Protocol):
    """The workers' half: each method is one transaction of its own, and safe to run beside any other."""

    def now(self) -> datetime:
        """Return the time by the store's clock, from which all due times come."""
        ...

    def dispatch(
        self, event_ids: Sequence[UUID], *, limit: int, claim: int = 0, lease_slack: timedelta = ...
    ) -> Dispatched:
        """Make deliveries of the named events, topped up with others that wait; at most about ``limit`` deliveries.

        The first ``claim`` of those that are due at once are claimed with it, as :meth:`claim` does. What their
        endpoints have no room for stays pending, and is not held. Where something is held, nothing is claimed.
        """
        ...

    def claim(self, delivery_ids: Sequence[UUID], *, limit: int, lease_slack: timedelta) -> Claimed:
        """Take up to ``limit`` due deliveries, the named ones first, each for its endpoint's timeout and the slack.

        What its endpoint's breaker, limits or pause hold back stays pending, and is left to that endpoint's turns.
        """
        ...

    def take_turns(self, *, limit: int, slow: bool, lease_slack: timedelta) -> Claimed:
        """Take up to ``limit`` held deliveries of the endpoints whose turn it is, in the quick or the slow lane."""
        ...

    def settle(self, settlements: Sequence[Settlement]) -> Settled:
        """Store results, each only under its own claim, and what they say of their endpoints."""
        ...

    def mark_slow(self, webhook_ids: Collection[UUID]) -> None:
        """Send these endpoints to the slow lane, from now on."""
        ...

    def waits(self, delivery_ids: Sequence[UUID]) -> Mapping[UUID, timedelta]:
        """Return how long those of the deliveries that are pending and not yet due have to wait."""
        ...

    def take_back(self, *, limit: int) -> int:
        """Take deliveries from workers that hold them past their lease; return how many."""
        ...

    def undispatched(self, *, older_than: timedelta, limit: int) -> list[UUID]:
        """Return events committed at least so long ago that no delivery was made of yet, oldest first."""
        ...

    def due(self, *, overdue_by: timedelta, limit: int) -> list[UUID]:
        """Return deliveries that are not held and have been due for at least so long, longest first."""
        ...

    def held(self, *, limit: int) -> Held:
        """Count the held deliveries of the endpoints whose turn it is, up to ``limit``.

        An endpoint whose turn was forgotten, which only a change by hand does, is given one first.
        """
        ...


@dataclass(frozen=True, slots=True)
class Dispatched:
    """What one round of dispatching made."""

    #: The new deliveries that are due at once, neither held nor claimed.
    delivery_ids: tuple[UUID, ...]
    #: How many events were finished with.
    events: int
    #: Whether the round stopped at its limit, so that there may be more.
    more: bool
    #: Whether some were left to their endpoints' turns, in the quick and in the slow lane.
    turns: bool = False
    slow_turns: bool = False
    #: The new deliveries that were claimed.
    claims: tuple[Claim, ...] = ()


@dataclass(frozen=True, slots=True)
class Turn:
    """That an endpoint has a turn, so long from now, in the quick or the slow lane."""

    wait: timedelta
    slow: bool


@dataclass(frozen=True, slots=True)
class Claimed:
    """The deliveries that were taken, and what else was found on the way."""

    claims: Sequence[Claim]
    #: How many were left to their endpoints' turns.
    held: int = 0
    #: Whether a named delivery was passed over, since somebody else was busy with it or its endpoint at that moment.
    passed_over: bool = False
    #: Whether an endpoint of the quick lane has a turn now.
    turns_due: bool = False
    #: Whether something was left to the turns of slow endpoints.
    slow_turns_due: bool = False
    #: When the endpoints that had a turn have their next one.
    turns: Sequence[Turn] = ()

    def __iter__(self) -> Iterator[Claim]:
        """Go through the claims."""
        return iter(self.claims)

    def __len__(self) -> int:
        """Return how many were taken."""
        return len(self.claims)


@dataclass(frozen=True, slots=True)
class Settled:
    """What was stored of some results."""

    #: The claims whose results were, see :attr:`Settlement.claim`; the others were lost. One batch may have several
    #: results of the same delivery, of which one counts.
    claims: frozenset[tuple[UUID, int]]
    #: The turns that endpoints have next, because of these results.
    turns: Sequence[Turn] = ()
    #: Events that were recorded, to be announced: an endpoint is failing, or was disabled.
    event_ids: Sequence[UUID] = ()


@dataclass(frozen=True, slots=True)
class Held:
    """How many held deliveries have a turn now, by lane."""

    quick: int
    slow: int
