"""WebhookService, first part: the endpoints."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from noteflow_hooks.application.endpoints import (
    change_webhook,
    check_changes,
    delete_webhook,
    list_webhooks,
    new_webhook,
    read_webhook,
)
from noteflow_hooks.application.requests import find_earlier, register_webhook, rotate_webhook
from noteflow_hooks.application.rotations import Rotation
from noteflow_hooks.domain.violations import check_all
from noteflow_hooks.rpc.interceptors.auth import current_actor, current_token, current_workspace
from noteflow_hooks.rpc.messages.pages import fill_counted, parse_page
from noteflow_hooks.rpc.messages.parse import (
    optional,
    parse_changes,
    parse_id,
    parse_registration,
    parse_webhook_filter,
)
from noteflow_hooks.rpc.messages.requests import check_id_of, parse_request_id
from noteflow_hooks.rpc.messages.webhooks import webhook_message
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.rpc.runtime.aside import LARGE_BYTES, aside_if
from noteflow_hooks.rpc.services.host import required, with_webhooks

if TYPE_CHECKING:
    from noteflow_hooks.rpc.runtime.calls import Context
    from noteflow_hooks.rpc.services.host import ServicerHost


class EndpointMixin:
    """The RPCs about endpoints, for a host that has what :class:`ServicerHost` names."""

    async def RegisterWebhook(self: ServicerHost, request: pb.RegisterWebhookRequest, _: Context) -> pb.Webhook:
        """Store a new endpoint and return it with its secret."""
        service, rules = required(self._webhook_service), self._endpoints
        workspace_id, token_id, by = current_workspace(), current_token(), current_actor()
        # In threads, for what a host's name and a secret's digest cost.
        webhook, _id = await asyncio.to_thread(
            lambda: check_all(
                lambda: new_webhook(workspace_id, parse_registration(request), rules=rules),
                lambda: check_id_of(request),
            )
        )
        named = await asyncio.to_thread(lambda: parse_request_id(request, workspace_id=workspace_id, token_id=token_id))
        # One that is repeated is answered whatever its URL would be found to be now.
        if named is None or not await self._database.run(lambda unit: find_earlier(with_webhooks(unit), named)):
            await self._database.call(lambda: service.check_url(webhook.address))
        view, secret = await self._database.run(
            lambda unit: register_webhook(
                with_webhooks(unit), service, webhook, token_id=token_id, request=named, by=by
            )
        )
        return webhook_message(view, secret=secret)

    async def GetWebhook(self: ServicerHost, request: pb.GetWebhookRequest, _: Context) -> pb.Webhook:
        """Return one endpoint."""
        required(self._webhook_service)
        workspace_id, webhook_id = current_workspace(), parse_id("webhook_id", request.webhook_id)
        return webhook_message(
            await self._database.run(lambda unit: read_webhook(with_webhooks(unit), workspace_id, webhook_id))
        )

    async def ListWebhooks(self: ServicerHost, request: pb.ListWebhooksRequest, _: Context) -> pb.ListWebhooksResponse:
        """Return a page of the workspace's endpoints."""
        required(self._webhook_service)
        workspace_id = current_workspace()
        page, criteria = check_all(lambda: parse_page(request), lambda: parse_webhook_filter(request))
        # Converted in there too, where others have their turns: for 500 rows that takes tens of milliseconds.
        webhooks, token, total = await self._database.run(
            lambda unit: fill_counted(
                page, list_webhooks(with_webhooks(unit), workspace_id, criteria, page), webhook_message
            )
        )
        return pb.ListWebhooksResponse(webhooks=webhooks, next_page_token=token, total=total)

    async def UpdateWebhook(self: ServicerHost, request: pb.UpdateWebhookRequest, _: Context) -> pb.Webhook:
        """Change what the mask names."""
        service, rules = required(self._webhook_service), self._endpoints
        workspace_id, by = current_workspace(), current_actor()
        # A filter takes milliseconds, however short it is.
        is_large = request.ByteSize() > LARGE_BYTES or "filter" in request.update_mask.paths
        webhook_id, changes = await aside_if(
            is_large,
            lambda: check_all(
                lambda: parse_id("webhook_id", request.webhook_id),
                lambda: check_changes(parse_changes(request), rules=rules),
            ),
        )
        if "url" in changes:
            await self._database.call(lambda: service.check_url(request.url))
        view = await self._database.run(
            lambda unit: change_webhook(
                with_webhooks(unit),
                service,
                workspace_id,
                webhook_id,
                changes,
                rules=rules,
                now=datetime.now(UTC),
                by=by,
            )
        )
        return webhook_message(view)

    async def DeleteWebhook(
        self: ServicerHost, request: pb.DeleteWebhookRequest, _: Context
    ) -> pb.DeleteWebhookResponse:
        """Delete an endpoint and its secrets."""
        required(self._webhook_service)
        workspace_id, webhook_id = current_workspace(), parse_id("webhook_id", request.webhook_id)
        by = current_actor()
        await self._database.run(lambda unit: delete_webhook(with_webhooks(unit), workspace_id, webhook_id, by=by))
        return pb.DeleteWebhookResponse()

    async def RotateWebhookSecret(self: ServicerHost, request: pb.RotateWebhookSecretRequest, _: Context) -> pb.Webhook:
        """Give an endpoint a new secret, key pair or both; the previous ones sign beside them for the overlap."""
        required(self._webhook_service)
        workspace_id, token_id, by = current_workspace(), current_token(), current_actor()
        webhook_id, rotation, _id = check_all(
            lambda: parse_id("webhook_id", request.webhook_id),
            lambda: Rotation.create(
                optional(request, "secret"),
                overlap_s=optional(request, "overlap_seconds"),
                what=optional(request, "what"),
            ),
            lambda: check_id_of(request),
        )
        named = await asyncio.to_thread(lambda: parse_request_id(request, workspace_id=workspace_id, token_id=token_id))
        view, secret = await self._database.run(
            lambda unit: rotate_webhook(
                with_webhooks(unit),
                workspace_id,
                webhook_id,
                rotation,
                now=datetime.now(UTC),
                token_id=token_id,
                request=named,
                by=by,
            )
        )
        return webhook_message(view, secret=secret)
