"""What a caller may know of how much there was, what became of it and how long it took.

It works in the caller's unit of work, on the roll-ups.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from noteflow_hooks.application.endpoints import find_webhook
from noteflow_hooks.domain.stats import Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from noteflow_hooks.domain.ports.stats import EndpointFacts, Present
    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork
    from noteflow_hooks.domain.stats import Count, StatsQuery

Key = TypeVar("Key")


@dataclass(frozen=True, slots=True)
class StatsView:
    """What is answered."""

    query: StatsQuery
    #: Up to when everything is counted; None where nothing ever was.
    as_of: datetime | None
    total: Tally
    points: Sequence[tuple[datetime, Tally]]
    types: Sequence[tuple[str, Tally]]
    endpoints: Sequence[EndpointView]
    now: Present | None


@dataclass(frozen=True, slots=True)
class EndpointView:
    """What is answered of one endpoint."""

    webhook_id: UUID
    total: Tally
    facts: EndpointFacts
    points: Sequence[tuple[datetime, Tally]]


def read_stats(unit: UnitOfWork, workspace_id: UUID, query: StatsQuery) -> StatsView:
    """Return what is asked for; raise NotFoundError where the one endpoint is not the workspace's."""
    if query.webhook_id is not None:
        find_webhook(unit, workspace_id, query.webhook_id)
    stats = unit.stats
    # First: what is counted meanwhile makes figures newer than is said, never older.
    as_of = stats.counted_to()
    counted = stats.by_point(workspace_id, query)
    by_point = _tallies(counted)
    return StatsView(
        query,
        as_of,
        _tally(each for _, each in counted),
        [(at, by_point.get(at, Tally())) for at in query.points],
        sorted(_tallies(stats.by_type(workspace_id, query)).items()) if query.with_event_types else [],
        _endpoints(unit, workspace_id, query),
        stats.present(workspace_id, webhook_id=query.webhook_id) if query.with_now else None,
    )


def _endpoints(unit: UnitOfWork, workspace_id: UUID, query: StatsQuery) -> Sequence[EndpointView]:
    if not query.webhook_ids:
        return []
    facts = unit.stats.facts(workspace_id, query.webhook_ids)
    counted = unit.stats.by_endpoint(workspace_id, query)
    totals = _tallies((webhook_id, each) for (webhook_id, _), each in counted)
    by_point = _tallies(counted)
    points = query.points if query.with_endpoint_buckets else []
    return [
        EndpointView(
            own, totals.get(own, Tally()), facts[own], [(at, by_point.get((own, at), Tally())) for at in points]
        )
        for own in dict.fromkeys(query.webhook_ids)
        if own in facts
    ]


def _tallies(counted: Iterable[tuple[Key, Count]]) -> Mapping[Key, Tally]:
    tallies: dict[Key, Tally] = defaultdict(Tally)
    for key, each in counted:
        tallies[key].add(each)
    return tallies


def _tally(counted: Iterable[Count]) -> Tally:
    tally = Tally()
    for each in counted:
        tally.add(each)
    return tally
