"""Asking an endpoint anew whether it wants deliveries. Works in the caller's unit of work."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from noteflow_hooks.application.endpoints import find_webhook
from noteflow_hooks.domain.audit.entries import Action, TargetKind, entry_of
from noteflow_hooks.domain.audit.telling import entry_of_verification, tell_pending
from noteflow_hooks.domain.verification import asked_anew, verified
from noteflow_hooks.errors import PreconditionError, Reason

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from noteflow_hooks.application.webhooks import WebhookService
    from noteflow_hooks.domain.audit.entries import Actor
    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork

log = logging.getLogger(__name__)


def ask_again(
    unit: UnitOfWork, service: WebhookService, workspace_id: UUID, webhook_id: UUID, *, now: datetime, by: Actor
) -> UUID | None:
    """Ask an endpoint with a new challenge, which voids the one before; return the id of the event that asks.

    None where there is nothing to ask: it is verified, or verification is not required any more, so that it counts as
    verified from now on. Raise NotFoundError, or PreconditionError where it is disabled.
    """
    webhook = find_webhook(unit, workspace_id, webhook_id, lock=True)
    if not webhook.verification.is_awaited:
        return None
    if not service.requires_verification:
        stored = service.update_webhook(verified(webhook, now=now), unit)
        unit.audit.add(entry_of_verification(by, webhook, stored))
        unit.on_commit(lambda: log.info("webhook %s counts as verified", webhook_id))
        return None
    if not webhook.enabled:
        reason = f" ({webhook.disabled_reason})" if webhook.disabled_reason else ""
        raise PreconditionError(
            f"webhook {webhook_id} is disabled{reason}; enable it, which asks it, too", reason=Reason.WEBHOOK_DISABLED
        )
    stored = unit.webhooks.update(asked_anew(webhook, now=now))
    event_id = service.ask_to_verify(stored, unit, before=webhook)
    told = {"event_id": str(event_id), **tell_pending(stored)}
    target = (TargetKind.WEBHOOK, webhook_id)
    unit.audit.add(entry_of(by, Action.WEBHOOK_ASKED_TO_VERIFY, workspace_id, target, new=told))
    return event_id
