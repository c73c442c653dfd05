"""The roll-ups: what keeps them, and what reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime, timedelta
    from uuid import UUID

    from noteflow_hooks.domain.stats import Count, StatsQuery


class EndpointFacts(NamedTuple):
    """What is known of an endpoint beside its counts."""

    last_success_at: datetime | None
    last_failure_at: datetime | None
    #: Deliveries that wait for it now, and those of them that are throttled; up to 10,000.
    waiting: int
    throttled: int


class Present(NamedTuple):
    """How a workspace, or an endpoint, stands now; each is counted up to 10,000."""

    undispatched: int
    pending: int
    throttled: int
    sending: int
    dead: Mapping[str, int]
    skipped: Mapping[str, int]
    #: Whether there are more dead and skipped ones than were looked at.
    has_more: bool
    endpoints: Mapping[str, int]


class StatsRepository(Protocol):
    """Reads the roll-ups of one workspace."""

    def counted_to(self) -> datetime | None:
        """Return up to when everything is counted; None where nothing ever was."""
        ...

    def by_point(self, workspace_id: UUID, query: StatsQuery) -> Sequence[tuple[datetime, Count]]:
        """Return the counts by the beginning of the time bucket; of the span where no buckets are asked for."""
        ...

    def by_type(self, workspace_id: UUID, query: StatsQuery) -> Sequence[tuple[str, Count]]:
        """Return the counts by event type."""
        ...

    def by_endpoint(self, workspace_id: UUID, query: StatsQuery) -> Sequence[tuple[tuple[UUID, datetime], Count]]:
        """Return the counts of the endpoints that the query names, by these and by when their time buckets begin."""
        ...

    def facts(self, workspace_id: UUID, webhook_ids: Collection[UUID]) -> Mapping[UUID, EndpointFacts]:
        """Return what is known of those of these endpoints that the workspace has."""
        ...

    def present(self, workspace_id: UUID, *, webhook_id: UUID | None) -> Present:
        """Return how the workspace stands now, or one of its endpoints."""
        ...


class StatsKeeper(Protocol):
    """Keeps the roll-ups: counts each attempt, event and settled delivery once, whatever happens meanwhile.

    What is counted is added to the running totals in the same transaction.
    """

    def roll_up(self, *, within: timedelta | None = None) -> datetime | None:
        """Count what has come since; return up to when everything is counted now.

        It counts for about so long, and leaves the rest to the next call; without ``within`` it leaves nothing. Where
        another one counts at this moment, it does nothing.
        """
        ...

    def totals(self) -> Sequence[Count]:
        """Return the running totals of the whole system, by measure, kind and bin. They never become less.

        The kind of an event is its type, ``custom`` for all of the workspaces' own.
        """
        ...
