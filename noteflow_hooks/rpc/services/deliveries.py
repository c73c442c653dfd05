"""WebhookService, second half: what was delivered, tests, and sending again."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

from noteflow_hooks.domain.deliveries import FINAL_STATUSES, DeliveryStatus, WebhookDelivery
from noteflow_hooks.domain.health.reasons import UNDISPATCHED
from noteflow_hooks.errors import NotFoundError, PreconditionError, UnavailableError
from noteflow_hooks.rpc.interceptors.auth import current_workspace
from noteflow_hooks.rpc.messages.convert import delivery_message, undelivered_message
from noteflow_hooks.rpc.messages.pages import fill, parse_page
from noteflow_hooks.rpc.messages.parse import parse_filter, parse_id, parse_kind, parse_seconds
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.rpc.services.endpoints import found_webhook
from noteflow_hooks.rpc.services.host import required, with_webhooks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from noteflow_hooks.application.webhooks import WebhookService
    from noteflow_hooks.domain.paging import Undelivered
    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork
    from noteflow_hooks.rpc.runtime.calls import Context
    from noteflow_hooks.rpc.runtime.database import Database
    from noteflow_hooks.rpc.services.host import ServicerHost

log = logging.getLogger(__name__)

_WAIT_LIMIT_S: Final = 60.0
#: How often a waiting test looks for its outcome.
_LOOK_EVERY_S: Final = 0.1


class DeliveryMixin:
    """The RPCs about deliveries, for a host that has what :class:`ServicerHost` names."""

    async def TestWebhook(self: ServicerHost, request: pb.TestWebhookRequest, _: Context) -> pb.TestWebhookResponse:
        """Record a test event for one endpoint, and wait for its outcome as long as the caller wants."""
        service = required(self._webhook_service)
        workspace_id, webhook_id = current_workspace(), parse_id("webhook_id", request.webhook_id)
        wait_s = parse_seconds("wait_seconds", request.wait_seconds, limit=_WAIT_LIMIT_S)
        event_id = await self._database.run(lambda unit: _record_test(unit, service, workspace_id, webhook_id))
        delivery = await _outcome(self._database, event_id, wait_s=wait_s)
        return pb.TestWebhookResponse(event_id=str(event_id), delivery=delivery)

    async def ListDeliveries(
        self: ServicerHost, request: pb.ListDeliveriesRequest, _: Context
    ) -> pb.ListDeliveriesResponse:
        """Return a page of the workspace's deliveries."""
        required(self._webhook_service)
        workspace_id, page = current_workspace(), parse_page(request)
        criteria = parse_filter(request, statuses=frozenset(DeliveryStatus))

        def read(unit: UnitOfWork) -> tuple[Sequence[WebhookDelivery], Mapping[UUID, str]]:
            found = with_webhooks(unit).deliveries.list_page(workspace_id, criteria, limit=page.limit, after=page.after)
            return found, unit.deliveries.reasons(found)

        rows, reasons = await self._database.run(read)
        deliveries, token = fill(page, rows, lambda row: delivery_message(row, reason=reasons.get(row.id)))
        return pb.ListDeliveriesResponse(deliveries=deliveries, next_page_token=token)

    async def ListUndelivered(
        self: ServicerHost, request: pb.ListUndeliveredRequest, _: Context
    ) -> pb.ListUndeliveredResponse:
        """Return a page of what was accepted and not delivered."""
        required(self._webhook_service)
        workspace_id, page, criteria = current_workspace(), parse_page(request), parse_kind(request)

        def read(unit: UnitOfWork) -> tuple[Sequence[Undelivered], Mapping[UUID, str]]:
            found = with_webhooks(unit).deliveries.undelivered_page(
                workspace_id, criteria, limit=page.limit, after=page.after
            )
            return found, unit.deliveries.reasons([each.delivery for each in found if each.delivery is not None])

        rows, reasons = await self._database.run(read)
        undelivered, token = fill(
            page, rows, lambda row: undelivered_message(row, reason=reasons.get(row.id, UNDISPATCHED))
        )
        return pb.ListUndeliveredResponse(undelivered=undelivered, next_page_token=token)

    async def GetDelivery(self: ServicerHost, request: pb.GetDeliveryRequest, _: Context) -> pb.Delivery:
        """Return one delivery, with its payload and attempts."""
        required(self._webhook_service)
        workspace_id, delivery_id = current_workspace(), parse_id("delivery_id", request.delivery_id)

        def read(unit: UnitOfWork) -> pb.Delivery:
            delivery = with_webhooks(unit).deliveries.get_by_id(workspace_id, delivery_id)
            if delivery is None:
                raise NotFoundError(f"delivery_id: no delivery {delivery_id} in this workspace")
            event = unit.events.get_by_id(delivery.event_id)
            return delivery_message(
                delivery,
                reason=_reason(unit, delivery),
                payload=None if event is None else event.payload.decode(),
                attempts=unit.deliveries.attempts(delivery_id),
                redeliveries=unit.deliveries.redeliveries(delivery_id),
            )

        return await self._database.run(read)

    async def RedeliverDelivery(self: ServicerHost, request: pb.RedeliverDeliveryRequest, _: Context) -> pb.Delivery:
        """Make a settled delivery due once more."""
        service = required(self._webhook_service)
        workspace_id, delivery_id = current_workspace(), parse_id("delivery_id", request.delivery_id)

        def send_again(unit: UnitOfWork) -> pb.Delivery:
            delivery = service.send_again(workspace_id, delivery_id, with_webhooks(unit))
            return delivery_message(delivery, reason=_reason(unit, delivery))

        answer = await self._database.run(send_again)
        log.info("delivery %s is sent again", delivery_id)
        return answer


def _reason(unit: UnitOfWork, delivery: WebhookDelivery) -> str | None:
    return unit.deliveries.reasons([delivery]).get(delivery.id)


def _record_test(unit: UnitOfWork, service: WebhookService, workspace_id: UUID, webhook_id: UUID) -> UUID:
    webhook = found_webhook(unit, workspace_id, webhook_id)
    if not webhook.enabled:
        reason = f" ({webhook.disabled_reason})" if webhook.disabled_reason else ""
        raise PreconditionError(f"webhook {webhook_id} is disabled{reason}; enable it, then test it")
    return service.trigger_test(webhook, unit)


async def _outcome(database: Database, event_id: UUID, *, wait_s: float) -> pb.Delivery | None:
    """Return the event's delivery once it is settled, or as it is when the wait is over."""
    until = time.monotonic() + wait_s
    delivery: pb.Delivery | None = None
    while time.monotonic() < until and (delivery is None or delivery.status not in FINAL_STATUSES):
        await asyncio.sleep(min(_LOOK_EVERY_S, wait_s))
        try:
            delivery = await database.run(lambda unit: _delivery_of(unit, event_id))
        except UnavailableError:
            # The test is recorded and will be sent: to fail now would invite a second one.
            break
    return delivery


def _delivery_of(unit: UnitOfWork, event_id: UUID) -> pb.Delivery | None:
    found = unit.deliveries.get_by_event(event_id)
    return delivery_message(found[0], reason=_reason(unit, found[0])) if found else None
