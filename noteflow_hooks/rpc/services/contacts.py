"""WebhookService, another part: an endpoint's contact."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from noteflow_hooks.application.contacts import confirm_contact
from noteflow_hooks.domain.payloads import check_name
from noteflow_hooks.domain.violations import check_all
from noteflow_hooks.rpc.interceptors.auth import current_actor, current_workspace
from noteflow_hooks.rpc.messages.parse import parse_id
from noteflow_hooks.rpc.messages.webhooks import webhook_message
from noteflow_hooks.rpc.services.host import required, with_webhooks

if TYPE_CHECKING:
    from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
    from noteflow_hooks.rpc.runtime.calls import Context
    from noteflow_hooks.rpc.services.host import ServicerHost


class ContactMixin:
    """The RPC about contacts, for a host that has what :class:`ServicerHost` names."""

    async def ConfirmContact(self: ServicerHost, request: pb.ConfirmContactRequest, _: Context) -> pb.Webhook:
        """Take the code out of the confirmation mail."""
        required(self._webhook_service)
        workspace_id, by, codes = current_workspace(), current_actor(), self._endpoints.codes
        webhook_id, code = check_all(
            lambda: parse_id("webhook_id", request.webhook_id), lambda: check_name("code", request.code)
        )
        now = datetime.now(UTC)
        return webhook_message(
            await self._database.run(
                lambda unit: confirm_contact(
                    with_webhooks(unit), workspace_id, webhook_id, code, codes=codes, now=now, by=by
                )
            )
        )
