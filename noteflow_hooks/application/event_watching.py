"""What those who watch events are told: each once, in the order of creation, none before all ahead of it are seen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

from noteflow_hooks.application.endpoints import find_webhook
from noteflow_hooks.domain.catalogue import CATALOGUE
from noteflow_hooks.domain.events import is_custom
from noteflow_hooks.domain.fan_out import receives
from noteflow_hooks.domain.filters import FilterAnswer, is_filterable
from noteflow_hooks.domain.paging import Position
from noteflow_hooks.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from noteflow_hooks.domain.events import Event
    from noteflow_hooks.domain.ports.filters import FilterEvaluator
    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork
    from noteflow_hooks.domain.webhooks import WebhookConfig

#: So many events are read at once.
EVENTS_AT_ONCE: Final = 200
#: The most types that a watch may name.
_TYPES_LIMIT: Final = 100
#: How far clocks may differ: a cursor that is further ahead is none of ours.
_AHEAD: Final = timedelta(minutes=1)
_NIL: Final = UUID(int=0)


@dataclass(frozen=True, slots=True)
class EventCriteria:
    """Which events of a workspace are told: of these types, all where there are none; and for this endpoint, if any."""

    types: frozenset[str] = frozenset()
    webhook_id: UUID | None = None

    def is_met(self, event: Event, found: EventLook) -> bool:
        """Tell whether an event meets them; ``found`` has the endpoint as it is now, where it still is."""
        if self.types and event.event_type not in self.types:
            return False
        if self.webhook_id is None:
            return True
        webhook = found.webhooks.get(self.webhook_id)
        is_kept = (self.webhook_id, event.id) in found.kept_back
        return webhook is not None and not is_kept and receives(webhook, event)


@dataclass(frozen=True, slots=True)
class EventLook:
    """What a look has found."""

    events: Sequence[Event]
    #: The endpoints that somebody watches for, by their ids.
    webhooks: Mapping[UUID, WebhookConfig]
    #: Up to where everything has been looked at.
    until: Position
    #: Whether there is more behind that already.
    is_behind: bool
    #: The endpoints and events of which the endpoint's filter holds the event back.
    kept_back: frozenset[tuple[UUID, UUID]] = frozenset()

    @property
    def asks_filters(self) -> bool:
        """Whether there is any filter to ask, which :func:`filtered` does."""
        return any(each.options.filter for each in self.webhooks.values())


def look(
    unit: UnitOfWork, workspace_ids: Collection[UUID], *, after: Position, webhook_ids: Iterable[UUID] = ()
) -> EventLook:
    """Look at the events of these workspaces that stand behind a position and can be told."""
    horizon = unit.events.horizon()
    events = unit.events.stored_after(workspace_ids, after, until=horizon, limit=EVENTS_AT_ONCE)
    is_behind = len(events) == EVENTS_AT_ONCE
    until = place_of(events[-1]) if is_behind else max(after, start_of(horizon), key=order_of)
    found = (unit.webhooks.get_by_id(each) for each in webhook_ids) if events else ()
    return EventLook(events, {each.id: each for each in found if each is not None}, until, is_behind)


def filtered(found: EventLook, filters: FilterEvaluator | None) -> EventLook:
    """Return the look with what filters hold back; where nothing can tell, nothing is.

    May take as long as so many evaluations at their longest, 10 ms each: call it in a thread.
    """
    if filters is None:
        return found
    kept = ((each.id, event.id) for each in found.webhooks.values() for event in _held_back(found, each, filters))
    return replace(found, kept_back=frozenset(kept))


def _held_back(found: EventLook, webhook: WebhookConfig, filters: FilterEvaluator) -> Iterator[Event]:
    """Yield the events that would go to that endpoint, and that its filter does not let pass, or fails on."""
    text = webhook.options.filter
    for event in found.events:
        is_asked = text and event.target_webhook_id is None and is_filterable(event.event_type)
        if is_asked and event.payload_erased_at is None and receives(webhook, event):
            verdict = filters.evaluate(text, event_type=event.event_type, payload=event.payload)
            if verdict.answer in (FilterAnswer.FILTERED, FilterAnswer.ERROR):
                yield event


def begin(unit: UnitOfWork, workspace_id: UUID, criteria: EventCriteria) -> Position:
    """Return where a watch begins now; raise NotFoundError for an endpoint that the workspace doesn't have."""
    if criteria.webhook_id is not None:
        find_webhook(unit, workspace_id, criteria.webhook_id)
    return start_of(unit.events.horizon())


def place_of(event: Event) -> Position:
    """Return a stored event's position."""
    if event.created_at is None:
        raise ValueError(f"{event.id} is told before it is stored")
    return Position(event.created_at, event.id)


def start_of(moment: datetime) -> Position:
    """Return the position before all that is created at that moment or later."""
    return Position(moment, _NIL)


def order_of(position: Position) -> tuple[datetime, UUID]:
    """Return what positions are ordered by."""
    return position.created_at, position.id


def check_types(types: Sequence[str]) -> frozenset[str]:
    """Return the types; raise InvalidInputError for one that no event can have."""
    if len(types) > _TYPES_LIMIT:
        raise InvalidInputError("types", f"has {len(types)}; allowed are up to {_TYPES_LIMIT}")
    for each in types:
        if each not in CATALOGUE and not is_custom(each):
            allowed = ", ".join(sorted(CATALOGUE))
            raise InvalidInputError("types", f"has {each[:100]!r}; allowed are {allowed}, custom.<name>")
    return frozenset(types)


def check_start(since: datetime | None, cursor: Position | None, *, now: datetime) -> Position | None:
    """Return behind what a watch begins, None where it begins with what comes next.

    Raise InvalidInputError where that can't be said.
    """
    if cursor is None:
        return None if since is None else start_of(since)
    if since is not None:
        raise InvalidInputError("cursor", "one of since and cursor may be set, and not both")
    if cursor.created_at > now + _AHEAD:
        raise InvalidInputError("cursor", "must be the cursor of a message that came")
    return cursor
