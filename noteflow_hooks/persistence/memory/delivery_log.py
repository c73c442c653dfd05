"""The deliveries in memory, as integrators look at them. A delivery belongs to its event's workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noteflow_hooks.domain.deliveries import NOTHING_TO_SEND_TO
from noteflow_hooks.errors import NotFoundError, PreconditionError
from noteflow_hooks.persistence.memory.tables import age, newest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from noteflow_hooks.domain.deliveries import WebhookAttempt, WebhookDelivery
    from noteflow_hooks.domain.ports import DeliveryFilter, Position
    from noteflow_hooks.persistence.memory.store import Session


class InMemoryDeliveryLog:
    """See :class:`noteflow_hooks.domain.ports.DeliveryLog`."""

    def __init__(self, session: Session) -> None:
        """Work in this transaction."""
        self._session = session

    def get_by_id(self, workspace_id: UUID, delivery_id: UUID) -> WebhookDelivery | None:
        """Return a delivery of that workspace, or None."""
        delivery = self._session.tables.deliveries.get(delivery_id)
        return delivery if delivery is not None and self._workspace(delivery) == workspace_id else None

    def get_by_event(self, event_id: UUID) -> Sequence[WebhookDelivery]:
        """Return the deliveries of one event, oldest first."""
        stored = self._session.tables.deliveries.values()
        return sorted((delivery for delivery in stored if delivery.event_id == event_id), key=age)

    def list_page(
        self, workspace_id: UUID, criteria: DeliveryFilter, *, limit: int, after: Position | None = None
    ) -> Sequence[WebhookDelivery]:
        """Return a page of a workspace's deliveries, newest first."""
        stored = self._session.tables.deliveries.values()
        chosen = (d for d in stored if self._workspace(d) == workspace_id and _meets(d, criteria))
        return newest(chosen, limit=limit, after=after)

    def attempts(self, delivery_id: UUID) -> Sequence[WebhookAttempt]:
        """Return a delivery's attempts, first one first."""
        return self._session.tables.attempts.get(delivery_id, ())

    def send_again(self, workspace_id: UUID, delivery_id: UUID) -> WebhookDelivery:
        """Make a settled delivery due once more, or raise NotFoundError or PreconditionError."""
        delivery = self.get_by_id(workspace_id, delivery_id)
        if delivery is None:
            raise NotFoundError(f"delivery_id: no delivery {delivery_id} in this workspace")
        if self._session.tables.webhooks[delivery.webhook_id].deleted_at is not None:
            raise PreconditionError(NOTHING_TO_SEND_TO)
        again = delivery.sent_again(now=self._session.now())
        self._session.tables.deliveries[delivery_id] = again
        return again

    def _workspace(self, delivery: WebhookDelivery) -> UUID:
        return self._session.tables.events[delivery.event_id].workspace_id


def _meets(delivery: WebhookDelivery, criteria: DeliveryFilter) -> bool:
    created_at, _ = age(delivery)
    return (
        criteria.webhook_id in (None, delivery.webhook_id)
        and criteria.status in (None, delivery.status)
        and criteria.event_type in (None, delivery.event_type)
        and (criteria.created_after is None or criteria.created_after <= created_at)
        and (criteria.created_before is None or created_at < criteria.created_before)
    )
