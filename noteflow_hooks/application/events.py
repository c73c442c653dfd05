"""Events that another NoteFlow server publishes, and the erasure of payloads.

Each function works in the caller's unit of work.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from noteflow_hooks.domain.ids import ordered_id
from noteflow_hooks.domain.publishing import event_from_json

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from noteflow_hooks.application.webhooks import WebhookService
    from noteflow_hooks.domain.events import Event
    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork

log = logging.getLogger(__name__)


def publish_event(
    unit: UnitOfWork,
    service: WebhookService,
    workspace_id: UUID,
    event_type: str,
    payload_json: str,
    *,
    idempotency_key: str | None = None,
    now: datetime,
) -> Event:
    """Store an event, or return the one that its idempotency key stands for.

    Raise InvalidInputError that names the field, and AlreadyExistsError where the key stands for another event.
    """
    event = event_from_json(
        ordered_id(), workspace_id, event_type, payload_json, idempotency_key=idempotency_key, now=now
    )
    return service.publish(event, unit)


def erase_meeting(unit: UnitOfWork, workspace_id: UUID, meeting_id: str) -> tuple[int, int]:
    """Erase the payloads of a meeting's events; return how many there were, and how many deliveries were skipped."""
    events, skipped = unit.events.erase_meeting(workspace_id, meeting_id)
    unit.on_commit(
        lambda: log.info(
            "meeting %r: %d payloads erased on request, %d deliveries skipped", meeting_id, events, skipped
        )
    )
    return events, skipped
