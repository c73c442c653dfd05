"""AuditService: who changed what in the caller's workspace. It works while webhooks are switched off, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noteflow_hooks.application.audit import list_entries
from noteflow_hooks.domain.violations import check_all
from noteflow_hooks.rpc.interceptors.auth import current_workspace
from noteflow_hooks.rpc.messages.convert import audit_message
from noteflow_hooks.rpc.messages.pages import fill_counted, parse_page
from noteflow_hooks.rpc.messages.parse import parse_audit_filter
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

if TYPE_CHECKING:
    from noteflow_hooks.rpc.runtime.calls import Context
    from noteflow_hooks.rpc.services.host import ServicerHost


class AuditMixin:
    """The RPC of AuditService, for a host that has what :class:`ServicerHost` names."""

    async def ListAuditEntries(
        self: ServicerHost, request: pb.ListAuditEntriesRequest, _: Context
    ) -> pb.ListAuditEntriesResponse:
        """Return a page of the workspace's entries."""
        workspace_id = current_workspace()
        page, criteria = check_all(lambda: parse_page(request), lambda: parse_audit_filter(request))
        # Converted in there too, in its thread: for 500 rows that takes tens of milliseconds.
        entries, token, total = await self._database.run(
            lambda unit: fill_counted(page, list_entries(unit, workspace_id, criteria, page), audit_message)
        )
        return pb.ListAuditEntriesResponse(audit_entries=entries, next_page_token=token, total=total)
