"""One who watches events: what is to be told, by its position, waits here until it is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from noteflow_hooks.application.event_watching import order_of, place_of
from noteflow_hooks.rpc.watching.watcher import Inbox

if TYPE_CHECKING:
    from uuid import UUID

    from noteflow_hooks.application.event_watching import EventCriteria, EventLook
    from noteflow_hooks.domain.events import Event
    from noteflow_hooks.domain.paging import Position


class EventNotice(NamedTuple):
    """What is told: an event, or in a heartbeat none."""

    event: Event | None
    #: Behind what a watch goes on that begins anew.
    at: Position
    #: How many were left out before it.
    missed: int = 0

    @classmethod
    def of(cls, event: Event) -> EventNotice:
        """Return the notice of an event."""
        return cls(event, place_of(event))


class EventWatcher:
    """A watch that is open. Belongs to one event loop."""

    def __init__(self, workspace_id: UUID, token_id: UUID, criteria: EventCriteria, *, at: Position) -> None:
        """``at`` is the position behind which it is told."""
        self.workspace_id = workspace_id
        self.token_id = token_id
        self.criteria = criteria
        #: Up to where everything was told.
        self.at = at
        self._inbox: Inbox[EventNotice] = Inbox()

    def wants(self, event: Event, found: EventLook) -> bool:
        """Tell whether it is to be told of that, which ``found`` has found."""
        is_ahead = event.workspace_id == self.workspace_id and order_of(place_of(event)) > order_of(self.at)
        return is_ahead and self.criteria.is_met(event, found)

    def offer(self, event: Event, found: EventLook) -> None:
        """Have it told, if it wants that, once it is read."""
        if self.wants(event, found):
            self._inbox.put(EventNotice.of(event))

    def pass_by(self, until: Position) -> None:
        """Note that everything was told up to there."""
        self.at = max(self.at, until, key=order_of)

    def end(self, error: Exception) -> None:
        """Have it end with this error, whatever still waits."""
        self._inbox.end(error)

    async def next(self, *, within_s: float) -> EventNotice:
        """Return what is told next, or a heartbeat after so long; raise what it has ended with."""
        taken = await self._inbox.take(within_s=within_s)
        if taken is None:
            return EventNotice(None, self.at)
        notice, missed = taken
        return notice._replace(missed=missed)
