"""The application over a store in memory: one workspace, a clock, and what was announced and asked to be sent."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from noteflow_hooks.application.webhooks import WebhookService
from noteflow_hooks.persistence.memory import InMemoryUnitOfWork, MemoryStore
from tests.support.builders import NOON, a_delivery, a_meeting, a_webhook, a_workspace, an_event

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from noteflow_hooks.domain.deliveries import WebhookDelivery
    from noteflow_hooks.domain.events import Event
    from noteflow_hooks.domain.meetings import Meeting
    from noteflow_hooks.domain.webhooks import WebhookConfig

T = TypeVar("T")


class World:
    """A service over a store in memory, with one workspace."""

    def __init__(self) -> None:
        """Make the workspace; it is noon."""
        self.now = NOON
        self.ticks = timedelta(0)
        self.memory = MemoryStore(now=self._tick)
        #: The events that were announced to workers, and what these were woken for: deliveries or endpoints.
        self.announced: list[UUID] = []
        self.woken_for: list[UUID] = []
        self.service = WebhookService(
            self.unit, self.announced.extend, wake=self.woken_for.extend, now=lambda: self.now
        )
        self.workspace = a_workspace()
        self.do(lambda unit: unit.access.create_workspace(self.workspace))

    def _tick(self) -> datetime:
        # The store's clock moves on by itself, so that rows have an order; the service's stands still.
        self.ticks += timedelta(microseconds=1)
        return self.now + self.ticks

    def unit(self) -> InMemoryUnitOfWork:
        """Return a unit of work that nobody has begun."""
        return InMemoryUnitOfWork(self.memory)

    def do(self, use_case: Callable[[InMemoryUnitOfWork], T]) -> T:
        """Run it in a unit of work of its own, and commit that."""
        with self.unit() as unit:
            result = use_case(unit)
            unit.commit()
        return result

    def meeting(self, title: str | None = "Weekly") -> Meeting:
        """Store a meeting."""
        return self.do(lambda unit: unit.meetings.create(a_meeting(workspace_id=self.workspace.id, title=title)))

    def webhook(self, **fields: Any) -> WebhookConfig:  # noqa: ANN401 - the endpoint's own
        """Store an endpoint."""
        made = a_webhook(**{"workspace_id": self.workspace.id} | fields)
        return self.do(lambda unit: unit.webhooks.create(made))

    def stored_webhook(self, webhook_id: UUID) -> WebhookConfig:
        """Return an endpoint as it is stored."""
        found = self.do(lambda unit: unit.webhooks.get_by_id(webhook_id))
        assert found is not None
        return found

    def delivery(self, webhook: WebhookConfig, **fields: Any) -> WebhookDelivery:  # noqa: ANN401 - the delivery's own
        """Store a delivery of an event of its own."""

        def store(unit: InMemoryUnitOfWork) -> WebhookDelivery:
            event = unit.events.append(an_event(workspace_id=webhook.workspace_id))
            made = a_delivery(**{"webhook_id": webhook.id, "event_id": event.id} | fields)
            return unit.webhooks.add_delivery(made)

        return self.do(store)

    def events(self) -> list[Event]:
        """Return the events, oldest first."""
        return list(reversed(self.do(lambda unit: unit.events.list_page(self.workspace.id, limit=100))))

    def payloads(self) -> list[dict[str, object]]:
        """Return what the events say, oldest first."""
        return [json.loads(event.payload) for event in self.events()]
