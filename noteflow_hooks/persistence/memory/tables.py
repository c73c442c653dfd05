"""The rows, in layers: what a transaction writes lies over what it found, until it is merged down or dropped.

Rows are frozen values, only ever added and replaced, so a layer is a ``ChainMap`` with a dict of its own.
"""

from __future__ import annotations

import dataclasses
from collections import ChainMap
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias, TypeVar, cast
from uuid import UUID

from noteflow_hooks.domain.paging import MAX_TOTAL
from noteflow_hooks.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from noteflow_hooks.domain.access import ApiToken, Workspace
    from noteflow_hooks.domain.attempts import WebhookAttempt
    from noteflow_hooks.domain.audit.breakers import BreakerTally
    from noteflow_hooks.domain.audit.entries import AuditEntry
    from noteflow_hooks.domain.batches import Batch
    from noteflow_hooks.domain.deliveries import WebhookDelivery
    from noteflow_hooks.domain.event_types import CustomEventType
    from noteflow_hooks.domain.events import Event
    from noteflow_hooks.domain.filters import FilterTrouble
    from noteflow_hooks.domain.health.state import EndpointHealth
    from noteflow_hooks.domain.mails import Mail
    from noteflow_hooks.domain.meetings import Meeting, Recording, Segment, Summary
    from noteflow_hooks.domain.paging import IdRange, Position
    from noteflow_hooks.domain.replays import Redelivery, Replay
    from noteflow_hooks.domain.requests import NamedRequest
    from noteflow_hooks.domain.webhooks import WebhookConfig

RowT = TypeVar("RowT")
#: The unit of time and its beginning, both None for all of it; workspace and endpoint, all of them where both are None;
#: event type, measure, kind and bin.
RollupKey: TypeAlias = tuple[timedelta | None, datetime | None, UUID | None, UUID | None, str, str, str, int]
Table: TypeAlias = ChainMap[UUID, RowT]


class Rolled(NamedTuple):
    """How many there were, and what their durations come to."""

    number: int = 0
    total_ms: int = 0


class Row(Protocol):
    """What can be listed by age."""

    @property
    def id(self) -> UUID:
        """Its key."""
        ...

    @property
    def created_at(self) -> datetime | None:
        """When it was stored."""
        ...


ListedT = TypeVar("ListedT", bound=Row)


@dataclass
class Tables:
    """All rows, by id; what belongs to exactly one other row lies under that one's id."""

    workspaces: Table[Workspace] = field(default_factory=ChainMap)
    tokens: Table[ApiToken] = field(default_factory=ChainMap)
    webhooks: Table[WebhookConfig] = field(default_factory=ChainMap)
    #: By endpoint; one that is not here is as a new one.
    health: Table[EndpointHealth] = field(default_factory=ChainMap)
    #: By endpoint; one that is not here has no trouble.
    filter_trouble: Table[FilterTrouble] = field(default_factory=ChainMap)
    events: Table[Event] = field(default_factory=ChainMap)
    #: By workspace and meeting: the last number that an event of it has got. Outlives the events.
    sequences: ChainMap[tuple[UUID, str], int] = field(default_factory=ChainMap)
    #: By event: the last endpoint that a fan-out in pages has come to.
    cursors: Table[UUID] = field(default_factory=ChainMap)
    deliveries: Table[WebhookDelivery] = field(default_factory=ChainMap)
    #: By delivery: when it was last claimed.
    claimed_at: Table[datetime] = field(default_factory=ChainMap)
    #: By attempt: when it was recorded; and by delivery: when its last one was.
    recorded_at: Table[datetime] = field(default_factory=ChainMap)
    #: By delivery, first one first.
    attempts: Table[tuple[WebhookAttempt, ...]] = field(default_factory=ChainMap)
    batches: Table[Batch] = field(default_factory=ChainMap)
    replays: Table[Replay] = field(default_factory=ChainMap)
    #: By delivery, first one first.
    redeliveries: Table[tuple[Redelivery, ...]] = field(default_factory=ChainMap)
    requests: Table[NamedRequest] = field(default_factory=ChainMap)
    meetings: Table[Meeting] = field(default_factory=ChainMap)
    recordings: Table[Recording] = field(default_factory=ChainMap)
    #: By meeting, in the order in which they came.
    segments: Table[tuple[Segment, ...]] = field(default_factory=ChainMap)
    #: By meeting.
    summaries: Table[Summary] = field(default_factory=ChainMap)
    audit: Table[AuditEntry] = field(default_factory=ChainMap)
    #: By endpoint: what of its breaker is not told yet.
    breakers: Table[BreakerTally] = field(default_factory=ChainMap)
    #: By workspace and name; None where one was removed.
    event_types: ChainMap[tuple[UUID, str], CustomEventType | None] = field(default_factory=ChainMap)
    #: By what they are about: see :mod:`noteflow_hooks.persistence.memory.rollups`.
    rollups: ChainMap[RollupKey, Rolled] = field(default_factory=ChainMap)
    #: What is counted: events and attempts by their ids, deliveries by theirs and how often they were sent again.
    counted: ChainMap[UUID | tuple[UUID, int], bool] = field(default_factory=ChainMap)
    #: By delivery: how it had ended each time that it was sent again.
    ended_before: Table[tuple[WebhookDelivery, ...]] = field(default_factory=ChainMap)
    #: By endpoint: when it last took something, and when it last did not.
    endpoint_facts: Table[tuple[datetime | None, datetime | None]] = field(default_factory=ChainMap)
    #: Under its only key: up to when everything is counted.
    counted_to: ChainMap[str, datetime] = field(default_factory=ChainMap)
    mails: Table[Mail] = field(default_factory=ChainMap)
    #: By task: when it last ran to its end.
    task_runs: ChainMap[str, datetime] = field(default_factory=ChainMap)

    def layer(self) -> Tables:
        """Return tables that show these and keep what is written to themselves."""
        return Tables(**{each.name: getattr(self, each.name).new_child() for each in dataclasses.fields(self)})

    def merge(self) -> None:
        """Write this layer's changes into the one below."""
        for each in dataclasses.fields(self):
            changes, below, *_ = getattr(self, each.name).maps
            below.update(changes)


def age(row: Row) -> tuple[datetime, UUID]:
    """Return what rows are ordered by. ``created_at`` is None only until a row is stored."""
    return cast("datetime", row.created_at), row.id


def newest(
    rows: Iterable[ListedT], *, limit: int, after: Position | None = None, ids: IdRange | None = None
) -> list[ListedT]:
    """Return a page of the rows, newest first, that starts behind ``after``, of those among ``ids``."""
    behind = (row for row in among(rows, ids) if after is None or age(row) < (after.created_at, after.id))
    return sorted(behind, key=age, reverse=True)[:limit]


def among(rows: Iterable[ListedT], ids: IdRange | None) -> Iterator[ListedT]:
    """Yield those rows whose ids are among these."""
    return (row for row in rows if ids is None or row.id in ids)


def counted(rows: Iterable[ListedT], ids: IdRange | None) -> int:
    """Return how many of the rows are among ``ids``, no further than lists are counted."""
    return min(sum(1 for _ in among(rows, ids)), MAX_TOTAL)


def require(table: Table[RowT], row_id: UUID, *, called: str) -> RowT:
    """Return the row, or raise :class:`NotFoundError`, as a foreign key would."""
    row = table.get(row_id)
    if row is None:
        raise NotFoundError(f"{called}_id: there is no {called} {row_id}")
    return row
