"""Events that another NoteFlow server publishes, and the erasure of payloads.

Each function works in the caller's unit of work.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from noteflow_hooks.application.deliveries import DeliveryView
from noteflow_hooks.domain.audit.entries import Action, TargetKind, entry_of
from noteflow_hooks.domain.events import is_custom, traced
from noteflow_hooks.domain.fan_out import why_not_sent
from noteflow_hooks.domain.ids import ordered_id
from noteflow_hooks.domain.publishing import event_from_json
from noteflow_hooks.errors import InvalidInputError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from noteflow_hooks.application.event_types import OwnTypes
    from noteflow_hooks.domain.audit.entries import Actor
    from noteflow_hooks.domain.events import Event
    from noteflow_hooks.domain.fan_out import NotSent
    from noteflow_hooks.domain.paging import EventFilter, Page
    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork
    from noteflow_hooks.domain.webhooks import WebhookConfig

#: So many deliveries of an event are shown with it.
DELIVERIES_SHOWN: Final = 500
#: The most events of one call.
EVENTS_LIMIT: Final = 500
#: The most endpoints that are examined for it at once.
ENDPOINTS_LIMIT: Final = 100

#: The fields of a request to publish, beside those of its payload.
_OUTSIDE: Final = frozenset({"event_type", "payload_json", "idempotency_key"})

log = logging.getLogger(__name__)


def new_event(
    workspace_id: UUID,
    event_type: str,
    payload_json: str,
    *,
    idempotency_key: str | None = None,
    now: datetime,
    own: OwnTypes | None = None,
) -> Event:
    """Make the event that a caller publishes; raise InvalidInputError that names the fields of the request.

    ``own`` makes those of the workspace's own types.
    """
    try:
        if own is not None and is_custom(event_type):
            return traced(
                own.new_event(ordered_id(), event_type, payload_json, idempotency_key=idempotency_key, now=now)
            )
        return traced(
            event_from_json(
                ordered_id(), workspace_id, event_type, payload_json, idempotency_key=idempotency_key, now=now
            )
        )
    except InvalidInputError as error:
        raise error.within("payload_json", outside=_OUTSIDE) from None


def accepted(outcome: Event | Exception) -> Event:
    """Return the stored event; raise why it is not stored where it isn't."""
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


@dataclass(frozen=True, slots=True)
class EndpointLook:
    """An endpoint, and why it has no delivery of an event; None where it has one, or may still get it."""

    webhook: WebhookConfig
    not_sent: NotSent | None

    @property
    def id(self) -> UUID:
        """The endpoint's id."""
        return self.webhook.id

    @property
    def created_at(self) -> datetime | None:
        """When it was registered."""
        return self.webhook.created_at


@dataclass(frozen=True, slots=True)
class EventView:
    """An event, and what became of it as far as can be told now."""

    event: Event
    #: Oldest first, :data:`DELIVERIES_SHOWN` of them at the most; none beside a later page of endpoints.
    deliveries: Sequence[DeliveryView]
    #: A page of the workspace's endpoints, newest first.
    endpoints: Sequence[EndpointLook]


def read_event(unit: UnitOfWork, workspace_id: UUID, event_id: UUID, page: Page) -> EventView:
    """Return one event with its deliveries and a page of endpoints, or raise NotFoundError."""
    event = unit.events.get_by_id(event_id)
    if event is None or event.workspace_id != workspace_id:
        raise NotFoundError(f"event_id: no event {event_id} in this workspace")
    found = unit.deliveries.get_by_event(event_id)
    shown = found[:DELIVERIES_SHOWN] if page.after is None else []
    reasons = unit.deliveries.reasons(shown)
    # What waits to be matched may still get to any of them.
    having = {each.webhook_id for each in found} if event.dispatched_at is not None else None
    endpoints = unit.webhooks.list_page(workspace_id, limit=page.limit, after=page.after)
    return EventView(
        event,
        [DeliveryView(each, reasons.get(each.id)) for each in shown],
        [
            EndpointLook(each, None if having is None or each.id in having else why_not_sent(event, each))
            for each in endpoints
        ],
    )


def list_events(unit: UnitOfWork, workspace_id: UUID, criteria: EventFilter, page: Page) -> tuple[Sequence[Event], int]:
    """Return a page of the workspace's events, newest first, and how many there are where the page asks."""
    rows = unit.events.list_page(workspace_id, criteria, limit=page.limit, after=page.after, ids=page.ids)
    return rows, unit.events.count(workspace_id, criteria, ids=page.ids) if page.counts else 0


def erase_meeting(unit: UnitOfWork, workspace_id: UUID, meeting_id: str, *, by: Actor) -> tuple[int, int]:
    """Erase the payloads of a meeting's events; return how many there were, and how many deliveries were skipped."""
    events, skipped = unit.events.erase_meeting(workspace_id, meeting_id)
    target, told = (TargetKind.MEETING, meeting_id), {"events": events, "skipped": skipped}
    unit.audit.add(entry_of(by, Action.MEETING_ERASED, workspace_id, target, new=told))
    unit.on_commit(
        lambda: log.info(
            "meeting %r: %d payloads erased on request, %d deliveries skipped", meeting_id, events, skipped
        )
    )
    return events, skipped
