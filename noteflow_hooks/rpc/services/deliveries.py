"""WebhookService, second part: what was delivered, tests, and sending one delivery again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from noteflow_hooks.application.deliveries import (
    list_deliveries,
    list_undelivered,
    read_delivery,
    redeliver,
    skip,
)
from noteflow_hooks.application.requests import begin_test
from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.violations import check_all
from noteflow_hooks.domain.webhooks import check_seconds
from noteflow_hooks.rpc.interceptors.auth import current_actor, current_token, current_workspace
from noteflow_hooks.rpc.messages.convert import delivery_message, undelivered_message
from noteflow_hooks.rpc.messages.pages import fill_counted, parse_page
from noteflow_hooks.rpc.messages.parse import optional, parse_filter, parse_id, parse_kind
from noteflow_hooks.rpc.messages.requests import check_id_of, parse_request_id
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.rpc.services.host import required, with_webhooks
from noteflow_hooks.rpc.services.outcome import WAIT_LIMIT, outcome_of
from noteflow_hooks.rpc.services.own_tests import own_test_event

if TYPE_CHECKING:
    from noteflow_hooks.rpc.runtime.calls import Context
    from noteflow_hooks.rpc.services.host import ServicerHost


class DeliveryMixin:
    """The RPCs about deliveries, for a host that has what :class:`ServicerHost` names."""

    async def TestWebhook(self: ServicerHost, request: pb.TestWebhookRequest, _: Context) -> pb.TestWebhookResponse:
        """Record a test event for one endpoint, and wait for its outcome as long as the caller wants."""
        service = required(self._webhook_service)
        workspace_id, by = current_workspace(), current_actor()
        webhook_id, wait, _id = check_all(
            lambda: parse_id("webhook_id", request.webhook_id),
            lambda: check_seconds("wait_seconds", request.wait_seconds, limit=WAIT_LIMIT),
            lambda: check_id_of(request),
        )
        named = parse_request_id(request, workspace_id=workspace_id, token_id=current_token())
        event = await own_test_event(self, request, workspace_id=workspace_id)
        event_id = await self._database.run(
            lambda unit: begin_test(
                with_webhooks(unit), service, workspace_id, webhook_id, request=named, event=event, by=by
            )
        )
        view = await outcome_of(self._database, event_id, wait=wait)
        return pb.TestWebhookResponse(event_id=str(event_id), delivery=None if view is None else delivery_message(view))

    async def ListDeliveries(
        self: ServicerHost, request: pb.ListDeliveriesRequest, _: Context
    ) -> pb.ListDeliveriesResponse:
        """Return a page of the workspace's deliveries."""
        required(self._webhook_service)
        workspace_id = current_workspace()
        page, criteria = check_all(
            lambda: parse_page(request), lambda: parse_filter(request, statuses=frozenset(DeliveryStatus))
        )
        criteria = replace(criteria, throttled=optional(request, "held"))
        # Converted in there too, where others have their turns: for 500 rows that takes tens of milliseconds.
        deliveries, token, total = await self._database.run(
            lambda unit: fill_counted(
                page, list_deliveries(with_webhooks(unit), workspace_id, criteria, page), delivery_message
            )
        )
        return pb.ListDeliveriesResponse(deliveries=deliveries, next_page_token=token, total=total)

    async def ListUndelivered(
        self: ServicerHost, request: pb.ListUndeliveredRequest, _: Context
    ) -> pb.ListUndeliveredResponse:
        """Return a page of what was accepted and not delivered."""
        required(self._webhook_service)
        workspace_id = current_workspace()
        page, criteria = check_all(lambda: parse_page(request), lambda: parse_kind(request))
        # Converted in there too, where others have their turns: for 500 rows that takes tens of milliseconds.
        undelivered, token, total = await self._database.run(
            lambda unit: fill_counted(
                page, list_undelivered(with_webhooks(unit), workspace_id, criteria, page), undelivered_message
            ),
            is_large=True,
        )
        return pb.ListUndeliveredResponse(undelivered=undelivered, next_page_token=token, total=total)

    async def GetDelivery(self: ServicerHost, request: pb.GetDeliveryRequest, _: Context) -> pb.Delivery:
        """Return one delivery, with its payload and attempts."""
        required(self._webhook_service)
        workspace_id, delivery_id = current_workspace(), parse_id("delivery_id", request.delivery_id)
        return await self._database.run(
            lambda unit: delivery_message(read_delivery(with_webhooks(unit), workspace_id, delivery_id))
        )

    async def RedeliverDelivery(self: ServicerHost, request: pb.RedeliverDeliveryRequest, _: Context) -> pb.Delivery:
        """Make a delivery that has ended due once more."""
        service = required(self._webhook_service)
        workspace_id, delivery_id = current_workspace(), parse_id("delivery_id", request.delivery_id)
        by = current_actor()
        return delivery_message(
            await self._database.run(
                lambda unit: redeliver(with_webhooks(unit), service, workspace_id, delivery_id, by=by)
            )
        )

    async def SkipDelivery(self: ServicerHost, request: pb.SkipDeliveryRequest, _: Context) -> pb.Delivery:
        """Give up a delivery that waits or is dead."""
        service = required(self._webhook_service)
        workspace_id, delivery_id = current_workspace(), parse_id("delivery_id", request.delivery_id)
        by = current_actor()
        return delivery_message(
            await self._database.run(lambda unit: skip(with_webhooks(unit), service, workspace_id, delivery_id, by=by))
        )
