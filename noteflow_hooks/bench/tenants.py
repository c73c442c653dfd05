"""Workspaces and endpoints of the benchmark, stored as the server does, but thousands in one transaction."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

from noteflow_hooks import bootstrap
from noteflow_hooks.application.access import make_token, make_workspace
from noteflow_hooks.domain.audit.entries import PROGRAM
from noteflow_hooks.domain.meetings import Meeting, MeetingState
from noteflow_hooks.domain.options import NO_BATCHES, NO_OPTIONS, EndpointOptions
from noteflow_hooks.domain.webhooks import WebhookConfig
from noteflow_hooks.signing import generate_secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from noteflow_hooks.domain.ports.unit_of_work import UnitOfWork
    from noteflow_hooks.settings import Settings

#: The type that endpoints subscribe to by default.
COMPLETED: Final = "meeting.completed"


@dataclass(frozen=True, slots=True)
class Tenant:
    """A workspace and a token for it."""

    workspace_id: UUID
    token: str = field(repr=False)


class Tenants:
    """Makes and removes workspaces, endpoints and meetings. Close it in the end."""

    def __init__(self, settings: Settings) -> None:
        self._store = bootstrap.store(settings)

    def close(self) -> None:
        """Close its connection."""
        self._store.close()

    def make(self, urls: Iterable[str] = ()) -> Tenant:
        """Make a workspace with these endpoints."""
        with self._store.units() as unit:
            tenant = _tenant(unit, urls)
            unit.commit()
            return tenant

    def make_each(self, urls: Iterable[str]) -> list[Tenant]:
        """Make a workspace for each endpoint."""
        with self._store.units() as unit:
            tenants = [_tenant(unit, [url]) for url in urls]
            unit.commit()
            return tenants

    def register(
        self, tenant: Tenant, urls: Iterable[str], *, event_type: str = COMPLETED, batch_max: int = NO_BATCHES
    ) -> list[UUID]:
        """Register more endpoints and return their ids."""
        options = EndpointOptions(batch_max=batch_max)
        with self._store.units() as unit:
            webhook_ids = [_register(unit, tenant.workspace_id, url, event_type, options=options) for url in urls]
            unit.commit()
            return webhook_ids

    def remove(self, webhook_ids: Iterable[UUID]) -> None:
        """Remove endpoints; their pending deliveries are skipped."""
        with self._store.units() as unit:
            for webhook_id in webhook_ids:
                unit.webhooks.delete(webhook_id)
            unit.commit()

    def hold_meetings(self, tenant: Tenant, count: int) -> Sequence[str]:
        """Make meetings that can be stopped and return their ids."""
        now = datetime.now(UTC)
        meetings = [
            Meeting(uuid4(), tenant.workspace_id, "Weekly", MeetingState.ACTIVE, created_at=now) for _ in range(count)
        ]
        with self._store.units() as unit:
            for meeting in meetings:
                unit.meetings.create(meeting)
            unit.commit()
        return [str(meeting.id) for meeting in meetings]


def _tenant(unit: UnitOfWork, urls: Iterable[str]) -> Tenant:
    workspace = make_workspace(unit, "bench", by=PROGRAM)
    _, token = make_token(unit, workspace.id, name="bench", by=PROGRAM)
    for url in urls:
        _register(unit, workspace.id, url, COMPLETED)
    return Tenant(workspace.id, token)


def _register(
    unit: UnitOfWork, workspace_id: UUID, url: str, event_type: str, *, options: EndpointOptions = NO_OPTIONS
) -> UUID:
    config = WebhookConfig.create(workspace_id, url, [event_type], secret=generate_secret(), allow_http_loopback=True)
    return unit.webhooks.create(replace(config, options=options)).id
