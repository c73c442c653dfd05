"""WebhookService, second half: what was delivered, tests, and sending again."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

from noteflow_hooks.domain.deliveries import SETTLED, WebhookDelivery
from noteflow_hooks.errors import NotFoundError, PreconditionError, UnavailableError
from noteflow_hooks.rpc.auth import current_workspace
from noteflow_hooks.rpc.convert import delivery_message
from noteflow_hooks.rpc.host import required, with_webhooks
from noteflow_hooks.rpc.pages import fill, parse_page
from noteflow_hooks.rpc.parse import parse_filter, parse_id, parse_seconds
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.rpc.webhooks import found_webhook

if TYPE_CHECKING:
    from uuid import UUID

    from noteflow_hooks.domain.ports import UnitOfWork
    from noteflow_hooks.rpc.database import Database
    from noteflow_hooks.rpc.host import Context, ServicerHost
    from noteflow_hooks.service import WebhookService

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
        return pb.TestWebhookResponse(
            event_id=str(event_id), delivery=None if delivery is None else delivery_message(delivery)
        )

    async def ListDeliveries(
        self: ServicerHost, request: pb.ListDeliveriesRequest, _: Context
    ) -> pb.ListDeliveriesResponse:
        """Return a page of the workspace's deliveries."""
        required(self._webhook_service)
        workspace_id, page, criteria = current_workspace(), parse_page(request), parse_filter(request)
        rows = await self._database.run(
            lambda unit: with_webhooks(unit).deliveries.list_page(
                workspace_id, criteria, limit=page.limit, after=page.after
            )
        )
        deliveries, token = fill(page, rows, delivery_message)
        return pb.ListDeliveriesResponse(deliveries=deliveries, next_page_token=token)

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
                payload=None if event is None else event.payload.decode(),
                attempts=unit.deliveries.attempts(delivery_id),
            )

        return await self._database.run(read)

    async def RedeliverDelivery(self: ServicerHost, request: pb.RedeliverDeliveryRequest, _: Context) -> pb.Delivery:
        """Make a settled delivery due once more."""
        service = required(self._webhook_service)
        workspace_id, delivery_id = current_workspace(), parse_id("delivery_id", request.delivery_id)
        delivery = await self._database.run(
            lambda unit: service.send_again(workspace_id, delivery_id, with_webhooks(unit))
        )
        log.info("delivery %s is sent again", delivery_id)
        return delivery_message(delivery)


def _record_test(unit: UnitOfWork, service: WebhookService, workspace_id: UUID, webhook_id: UUID) -> UUID:
    webhook = found_webhook(unit, workspace_id, webhook_id)
    if not webhook.enabled:
        reason = f" ({webhook.disabled_reason})" if webhook.disabled_reason else ""
        raise PreconditionError(f"webhook {webhook_id} is disabled{reason}; enable it, then test it")
    return service.trigger_test(webhook, unit)


async def _outcome(database: Database, event_id: UUID, *, wait_s: float) -> WebhookDelivery | None:
    """Return the event's delivery once it is settled, or as it is when the wait is over."""
    until = time.monotonic() + wait_s
    delivery: WebhookDelivery | None = None
    while time.monotonic() < until and (delivery is None or delivery.status not in SETTLED):
        await asyncio.sleep(min(_LOOK_EVERY_S, wait_s))
        try:
            found = await database.run(lambda unit: unit.deliveries.get_by_event(event_id))
        except UnavailableError:
            # The test is recorded and will be sent: to fail now would invite a second one.
            break
        delivery = found[0] if found else None
    return delivery
