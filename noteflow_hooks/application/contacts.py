"""A contact confirms that it wants mails. Works in the caller's unit of work."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from noteflow_hooks.application.endpoints import EndpointView, find_webhook, view_of
from noteflow_hooks.domain.audit.entries import Action, TargetKind, entry_of
from noteflow_hooks.domain.audit.telling import tell_update
from noteflow_hooks.errors import InvalidInputError, PreconditionError, Reason

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from noteflow_hooks.domain.audit.entries import Actor
    from noteflow_hooks.domain.ports.mails import ContactCodes
    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork

log = logging.getLogger(__name__)


def confirm_contact(
    unit: UnitOfWork,
    workspace_id: UUID,
    webhook_id: UUID,
    code: str,
    *,
    codes: ContactCodes | None,
    now: datetime,
    by: Actor,
) -> EndpointView:
    """Take the code of an endpoint's contact, which hears of its trouble from now on; return the endpoint.

    With a contact that has confirmed nothing changes. Raise NotFoundError, InvalidInputError for another code, and
    PreconditionError where there is no contact, or the code counts no more.
    """
    webhook = find_webhook(unit, workspace_id, webhook_id, lock=True)
    contact = webhook.contact
    if contact is None:
        raise PreconditionError(f"webhook {webhook_id} has no contact to confirm", reason=Reason.NO_CONTACT)
    if codes is None or not codes.is_right(code, webhook_id, contact.address, contact.asked_at):
        raise InvalidInputError("code", "is not the one of the confirmation mail to the endpoint's contact")
    if contact.is_confirmed:
        return view_of(unit, webhook)
    if now >= contact.code_ends_at:
        raise PreconditionError(
            f"the code of webhook {webhook_id} counts no more; set the contact again, which has another one mailed",
            reason=Reason.CODE_EXPIRED,
        )
    stored = unit.webhooks.update(replace(webhook, contact=contact.confirmed(now=now)))
    old, new = tell_update(webhook, stored)
    target = (TargetKind.WEBHOOK, webhook_id)
    unit.audit.add(entry_of(by, Action.WEBHOOK_CONTACT_CONFIRMED, workspace_id, target, old=old, new=new))
    unit.on_commit(lambda: log.info("the contact of webhook %s has confirmed", webhook_id))
    return view_of(unit, stored)
