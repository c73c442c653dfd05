"""WebhookService, another part: asking an endpoint whether it wants deliveries."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from noteflow_hooks.application.endpoints import read_webhook
from noteflow_hooks.application.verification import ask_again
from noteflow_hooks.domain.violations import check_all
from noteflow_hooks.domain.webhooks import check_seconds
from noteflow_hooks.rpc.interceptors.auth import current_actor, current_workspace
from noteflow_hooks.rpc.messages.convert import delivery_message
from noteflow_hooks.rpc.messages.parse import parse_id
from noteflow_hooks.rpc.messages.webhooks import webhook_message
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.rpc.services.host import required, with_webhooks
from noteflow_hooks.rpc.services.outcome import WAIT_LIMIT, outcome_of

if TYPE_CHECKING:
    from noteflow_hooks.rpc.runtime.calls import Context
    from noteflow_hooks.rpc.services.host import ServicerHost


class VerificationMixin:
    """The RPC about verification, for a host that has what :class:`ServicerHost` names."""

    async def VerifyWebhook(
        self: ServicerHost, request: pb.VerifyWebhookRequest, _: Context
    ) -> pb.VerifyWebhookResponse:
        """Ask an endpoint with a new challenge, and wait for its answer as long as the caller wants."""
        service = required(self._webhook_service)
        workspace_id, by = current_workspace(), current_actor()
        webhook_id, wait = check_all(
            lambda: parse_id("webhook_id", request.webhook_id),
            lambda: check_seconds("wait_seconds", request.wait_seconds, limit=WAIT_LIMIT),
        )
        event_id = await self._database.run(
            lambda unit: ask_again(with_webhooks(unit), service, workspace_id, webhook_id, now=datetime.now(UTC), by=by)
        )
        asked = None if event_id is None else await outcome_of(self._database, event_id, wait=wait)
        view = await self._database.run(lambda unit: read_webhook(with_webhooks(unit), workspace_id, webhook_id))
        return pb.VerifyWebhookResponse(
            webhook=webhook_message(view),
            event_id=None if event_id is None else str(event_id),
            delivery=None if asked is None else delivery_message(asked),
        )
