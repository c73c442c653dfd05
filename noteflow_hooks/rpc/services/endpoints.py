"""WebhookService, first half: the endpoints. What is checked at registration is checked at every change."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from noteflow_hooks.domain.secrets import check_secret
from noteflow_hooks.domain.webhooks import DEFAULT_NAME, WebhookConfig
from noteflow_hooks.errors import InvalidInputError, NotFoundError
from noteflow_hooks.rpc.interceptors.auth import current_workspace
from noteflow_hooks.rpc.messages.convert import webhook_message
from noteflow_hooks.rpc.messages.pages import fill, parse_page
from noteflow_hooks.rpc.messages.parse import parse_headers, parse_id, parse_seconds
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.rpc.services.changes import apply, checked_paths
from noteflow_hooks.rpc.services.host import required, with_webhooks
from noteflow_hooks.signing import generate_secret, secret_hint

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from noteflow_hooks.domain.health.state import EndpointHealth
    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork
    from noteflow_hooks.rpc.runtime.calls import Context
    from noteflow_hooks.rpc.services.host import EndpointRules, ServicerHost

log = logging.getLogger(__name__)

_OVERLAP: Final = timedelta(hours=24)
_OVERLAP_LIMIT: Final = timedelta(days=30)


class EndpointMixin:
    """The RPCs about endpoints, for a host that has what :class:`ServicerHost` names."""

    async def RegisterWebhook(self: ServicerHost, request: pb.RegisterWebhookRequest, _: Context) -> pb.Webhook:
        """Store a new endpoint and return it with its secret."""
        service = required(self._webhook_service)
        config = _new_config(request, current_workspace(), self._endpoints)
        stored = await self._database.call(lambda: service.register_webhook(config))
        return webhook_message(stored, secret=config.secret)

    async def GetWebhook(self: ServicerHost, request: pb.GetWebhookRequest, _: Context) -> pb.Webhook:
        """Return one endpoint."""
        required(self._webhook_service)
        workspace_id, webhook_id = current_workspace(), parse_id("webhook_id", request.webhook_id)
        return await self._database.run(lambda unit: _shown(unit, found_webhook(unit, workspace_id, webhook_id)))

    async def ListWebhooks(self: ServicerHost, request: pb.ListWebhooksRequest, _: Context) -> pb.ListWebhooksResponse:
        """Return a page of the workspace's endpoints."""
        required(self._webhook_service)
        workspace_id, page = current_workspace(), parse_page(request)

        def read(unit: UnitOfWork) -> tuple[Sequence[WebhookConfig], Mapping[UUID, EndpointHealth]]:
            rows = with_webhooks(unit).webhooks.list_page(workspace_id, limit=page.limit, after=page.after)
            return rows, unit.webhooks.get_health([each.id for each in rows])

        rows, health = await self._database.run(read)
        webhooks, token = fill(page, rows, lambda each: webhook_message(each, health.get(each.id)))
        return pb.ListWebhooksResponse(webhooks=webhooks, next_page_token=token)

    async def UpdateWebhook(self: ServicerHost, request: pb.UpdateWebhookRequest, _: Context) -> pb.Webhook:
        """Change what the mask names."""
        service = required(self._webhook_service)
        workspace_id, webhook_id = current_workspace(), parse_id("webhook_id", request.webhook_id)
        paths = checked_paths(request.update_mask)
        if "url" in paths:
            # Outside the transaction: a look-up takes its time, and dispatch waits for who holds an endpoint's row.
            await self._database.call(lambda: service.check_url(request.url))

        def change(unit: UnitOfWork) -> pb.Webhook:
            config = found_webhook(unit, workspace_id, webhook_id, lock=True)
            loopback = self._endpoints.allow_http_loopback
            changed = apply(config, request, paths, allow_http_loopback=loopback, now=datetime.now(UTC))
            return _shown(unit, service.update_webhook(changed, unit))

        message = await self._database.run(change)
        log.info("webhook %s changed: %s", webhook_id, ", ".join(paths))
        return message

    async def DeleteWebhook(
        self: ServicerHost, request: pb.DeleteWebhookRequest, _: Context
    ) -> pb.DeleteWebhookResponse:
        """Delete an endpoint and its secrets."""
        required(self._webhook_service)
        workspace_id, webhook_id = current_workspace(), parse_id("webhook_id", request.webhook_id)

        def delete(unit: UnitOfWork) -> bool:
            return unit.webhooks.delete(found_webhook(unit, workspace_id, webhook_id).id)

        await self._database.run(delete)
        log.info("webhook %s removed", webhook_id)
        return pb.DeleteWebhookResponse()

    async def RotateWebhookSecret(self: ServicerHost, request: pb.RotateWebhookSecretRequest, _: Context) -> pb.Webhook:
        """Give an endpoint a new secret and return it; the one before signs on for the overlap."""
        required(self._webhook_service)
        workspace_id, webhook_id = current_workspace(), parse_id("webhook_id", request.webhook_id)
        secret = check_secret(request.secret) if request.HasField("secret") else generate_secret()
        overlap = _overlap(request)

        def rotate(unit: UnitOfWork) -> pb.Webhook:
            config = found_webhook(unit, workspace_id, webhook_id, lock=True)
            stored = unit.webhooks.update(_rotated(config, secret, until=datetime.now(UTC) + overlap))
            return _shown(unit, stored, secret=secret)

        message = await self._database.run(rotate)
        log.info("webhook %s changed: secret", webhook_id)
        return message


def _shown(unit: UnitOfWork, webhook: WebhookConfig, *, secret: str | None = None) -> pb.Webhook:
    """Return the endpoint with how it does."""
    return webhook_message(webhook, unit.webhooks.get_health([webhook.id]).get(webhook.id), secret=secret)


def found_webhook(unit: UnitOfWork, workspace_id: UUID, webhook_id: UUID, *, lock: bool = False) -> WebhookConfig:
    """Return the endpoint of that workspace, or raise NotFoundError: another workspace's is not there either."""
    webhook = with_webhooks(unit).webhooks.get_by_id(webhook_id, lock=lock)
    if webhook is None or webhook.workspace_id != workspace_id:
        raise NotFoundError(f"webhook_id: no webhook {webhook_id} in this workspace")
    return webhook


def _new_config(request: pb.RegisterWebhookRequest, workspace_id: UUID, rules: EndpointRules) -> WebhookConfig:
    return WebhookConfig.create(
        workspace_id,
        request.url,
        request.events,
        name=request.name if request.HasField("name") else DEFAULT_NAME,
        secret=_new_secret(request),
        timeout_ms=request.timeout_ms if request.HasField("timeout_ms") else rules.timeout_ms,
        max_retries=request.max_retries if request.HasField("max_retries") else rules.max_retries,
        enabled=request.enabled if request.HasField("enabled") else True,
        headers=parse_headers(request.headers),
        rate_limit_per_s=request.rate_limit_per_s if request.HasField("rate_limit_per_s") else None,
        max_concurrency=request.max_concurrency if request.HasField("max_concurrency") else None,
        allow_http_loopback=rules.allow_http_loopback,
    )


def _new_secret(request: pb.RegisterWebhookRequest) -> str | None:
    if not request.generate_secret:
        return request.secret if request.HasField("secret") else None
    if request.HasField("secret"):
        raise InvalidInputError("generate_secret", "must not be set together with secret")
    return generate_secret()


def _overlap(request: pb.RotateWebhookSecretRequest) -> timedelta:
    if not request.HasField("overlap_seconds"):
        return _OVERLAP
    limit = _OVERLAP_LIMIT.total_seconds()
    return timedelta(seconds=parse_seconds("overlap_seconds", request.overlap_seconds, limit=limit))


def _rotated(config: WebhookConfig, secret: str, *, until: datetime) -> WebhookConfig:
    signed_before = config.secret is not None
    return replace(
        config,
        secret=secret,
        secret_hint=secret_hint(secret),
        secret_unavailable=config.headers_unreadable,
        secret_unreadable=False,
        previous_secret=config.secret,
        previous_secret_expires_at=until if signed_before else None,
    )
