"""What a caller may see of the deliveries, why one is not delivered, tests, and sending one again.

Each function works in the caller's unit of work.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from noteflow_hooks.application.endpoints import find_webhook
from noteflow_hooks.domain.audit.entries import Action, TargetKind, entry_of
from noteflow_hooks.domain.deliveries import FINAL_STATUSES
from noteflow_hooks.domain.health.reasons import UNDISPATCHED
from noteflow_hooks.domain.verification import check_verified
from noteflow_hooks.errors import NotFoundError, PreconditionError, Reason

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from noteflow_hooks.application.webhooks import WebhookService
    from noteflow_hooks.domain.attempts import WebhookAttempt
    from noteflow_hooks.domain.audit.entries import Actor
    from noteflow_hooks.domain.deliveries import WebhookDelivery
    from noteflow_hooks.domain.events import Event
    from noteflow_hooks.domain.paging import DeliveryFilter, Page, Undelivered
    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork
    from noteflow_hooks.domain.replays import Redelivery

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DeliveryView:
    """A delivery, and why it is not delivered."""

    delivery: WebhookDelivery
    #: In words; None where it succeeded.
    reason: str | None
    #: What only :func:`read_delivery` fills in: what was sent, each attempt, and each time that it was sent again.
    payload: bytes | None = None
    attempts: Sequence[WebhookAttempt] = ()
    redeliveries: Sequence[Redelivery] = ()

    @property
    def id(self) -> UUID:
        """The delivery's id."""
        return self.delivery.id

    @property
    def created_at(self) -> datetime | None:
        """When its event was dispatched."""
        return self.delivery.created_at

    @property
    def is_final(self) -> bool:
        """Whether nothing is done with it any more, unless someone sends it again."""
        return self.delivery.status in FINAL_STATUSES


@dataclass(frozen=True, slots=True)
class UndeliveredView:
    """What was accepted and is not delivered, and why."""

    undelivered: Undelivered
    reason: str

    @property
    def id(self) -> UUID:
        """The delivery's id, or the event's."""
        return self.undelivered.id

    @property
    def created_at(self) -> datetime:
        """When the event was stored, or matched with the endpoint."""
        return self.undelivered.created_at


def list_deliveries(
    unit: UnitOfWork, workspace_id: UUID, criteria: DeliveryFilter, page: Page
) -> tuple[Sequence[DeliveryView], int]:
    """Return a page of the workspace's deliveries, newest first, and how many there are where the page asks."""
    found = unit.deliveries.list_page(workspace_id, criteria, limit=page.limit, after=page.after, ids=page.ids)
    reasons = unit.deliveries.reasons(found)
    total = unit.deliveries.count(workspace_id, criteria, ids=page.ids) if page.counts else 0
    return [DeliveryView(each, reasons.get(each.id)) for each in found], total


def list_undelivered(
    unit: UnitOfWork, workspace_id: UUID, criteria: DeliveryFilter, page: Page
) -> tuple[Sequence[UndeliveredView], int]:
    """Return a page of what was accepted and is not delivered, newest first, and how much there is where it asks."""
    found = unit.deliveries.undelivered_page(workspace_id, criteria, limit=page.limit, after=page.after, ids=page.ids)
    reasons = unit.deliveries.reasons([each.delivery for each in found if each.delivery is not None])
    total = unit.deliveries.count_undelivered(workspace_id, criteria, ids=page.ids) if page.counts else 0
    return [UndeliveredView(each, reasons.get(each.id, UNDISPATCHED)) for each in found], total


def read_delivery(unit: UnitOfWork, workspace_id: UUID, delivery_id: UUID) -> DeliveryView:
    """Return one delivery with all that is known of it, or raise NotFoundError."""
    delivery = unit.deliveries.get_by_id(workspace_id, delivery_id)
    if delivery is None:
        raise NotFoundError(f"delivery_id: no delivery {delivery_id} in this workspace")
    event = unit.events.get_by_id(delivery.event_id)
    return DeliveryView(
        delivery,
        _reason(unit, delivery),
        payload=None if event is None else event.payload,
        attempts=unit.deliveries.attempts(delivery_id),
        redeliveries=unit.deliveries.redeliveries(delivery_id),
    )


def redeliver(
    unit: UnitOfWork, service: WebhookService, workspace_id: UUID, delivery_id: UUID, *, by: Actor
) -> DeliveryView:
    """Make a delivery that has ended due once more; raise NotFoundError, or PreconditionError where that can't be."""
    delivery = service.send_again(workspace_id, delivery_id, unit)
    before = unit.deliveries.redeliveries(delivery_id)[-1]
    told = {"status": before.previous_status, "attempts": before.after_attempt}, {"status": delivery.status.value}
    target = (TargetKind.DELIVERY, delivery_id)
    unit.audit.add(entry_of(by, Action.DELIVERY_REDELIVERED, workspace_id, target, old=told[0], new=told[1]))
    unit.on_commit(lambda: log.info("delivery %s is sent again", delivery_id))
    return DeliveryView(delivery, _reason(unit, delivery))


def skip(
    unit: UnitOfWork, service: WebhookService, workspace_id: UUID, delivery_id: UUID, *, by: Actor
) -> DeliveryView:
    """Give up a delivery that waits or is dead; raise NotFoundError, or PreconditionError where that can't be."""
    before, after = service.give_up(workspace_id, delivery_id, unit)
    told = {"status": before.status.value}, {"status": after.status.value, "skip_reason": str(after.skip_reason)}
    target = (TargetKind.DELIVERY, delivery_id)
    unit.audit.add(entry_of(by, Action.DELIVERY_SKIPPED, workspace_id, target, old=told[0], new=told[1]))
    unit.on_commit(lambda: log.info("delivery %s is given up", delivery_id))
    return DeliveryView(after, _reason(unit, after))


def record_test(
    unit: UnitOfWork,
    service: WebhookService,
    workspace_id: UUID,
    webhook_id: UUID,
    *,
    event: Event | None = None,
    by: Actor,
) -> UUID:
    """Record a test event for one endpoint and return its id; raise PreconditionError where that is disabled.

    ``event`` goes there in place of `webhook.test`.
    """
    webhook = find_webhook(unit, workspace_id, webhook_id)
    if not webhook.enabled:
        reason = f" ({webhook.disabled_reason})" if webhook.disabled_reason else ""
        raise PreconditionError(
            f"webhook {webhook_id} is disabled{reason}; enable it, then test it", reason=Reason.WEBHOOK_DISABLED
        )
    check_verified(webhook, what="test it")
    if event is None:
        event_id = service.trigger_test(webhook, unit)
    else:
        event_id = service.publish(replace(event, target_webhook_id=webhook.id), unit).id
    target, told = (TargetKind.WEBHOOK, webhook_id), {"event_id": str(event_id)}
    told |= {} if event is None else {"event_type": event.event_type}
    unit.audit.add(entry_of(by, Action.WEBHOOK_TESTED, workspace_id, target, new=told))
    return event_id


def delivery_of(unit: UnitOfWork, event_id: UUID) -> DeliveryView | None:
    """Return the delivery of a test or a challenge as it is now; None while the event waits to be dispatched."""
    found = unit.deliveries.get_by_event(event_id)
    return DeliveryView(found[0], _reason(unit, found[0])) if found else None


def _reason(unit: UnitOfWork, delivery: WebhookDelivery) -> str | None:
    return unit.deliveries.reasons([delivery]).get(delivery.id)
