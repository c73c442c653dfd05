"""The deliveries in memory, as integrators look at them. A delivery belongs to its event's workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from noteflow_hooks.domain.health.reasons import explain
from noteflow_hooks.domain.matching import is_undelivered, is_unmatched, meets
from noteflow_hooks.domain.ordering import given_up, is_blocked, ordered
from noteflow_hooks.domain.paging import DeliveryChange, Undelivered
from noteflow_hooks.domain.ports.repositories import DeliveryLog
from noteflow_hooks.domain.replays import check_sending_again
from noteflow_hooks.errors import NotFoundError
from noteflow_hooks.persistence.memory.delivery.order_keeper import sent_of, walked
from noteflow_hooks.persistence.memory.health import health_of, wake_now
from noteflow_hooks.persistence.memory.replays import send_again
from noteflow_hooks.persistence.memory.tables import age, counted, newest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from noteflow_hooks.domain.attempts import WebhookAttempt
    from noteflow_hooks.domain.deliveries import WebhookDelivery
    from noteflow_hooks.domain.events import Event
    from noteflow_hooks.domain.paging import DeliveryFilter, IdRange, Position
    from noteflow_hooks.domain.replays import Redelivery
    from noteflow_hooks.persistence.memory.store import Session


class InMemoryDeliveryLog(DeliveryLog):
    """The deliveries, as integrators look at them, in memory."""

    def __init__(self, session: Session) -> None:
        """Work in this transaction."""
        self._session = session

    @override
    def get_by_id(self, workspace_id: UUID, delivery_id: UUID) -> WebhookDelivery | None:
        delivery = self._session.tables.deliveries.get(delivery_id)
        return delivery if delivery is not None and self._workspace(delivery) == workspace_id else None

    @override
    def get_by_event(self, event_id: UUID) -> Sequence[WebhookDelivery]:
        stored = self._session.tables.deliveries.values()
        return sorted((delivery for delivery in stored if delivery.event_id == event_id), key=age)

    @override
    def list_page(
        self,
        workspace_id: UUID,
        criteria: DeliveryFilter,
        *,
        limit: int,
        after: Position | None = None,
        ids: IdRange | None = None,
    ) -> Sequence[WebhookDelivery]:
        return newest(self._listed(workspace_id, criteria), limit=limit, after=after, ids=ids)

    @override
    def count(self, workspace_id: UUID, criteria: DeliveryFilter, *, ids: IdRange | None = None) -> int:
        return counted(self._listed(workspace_id, criteria), ids)

    @override
    def attempts(self, delivery_id: UUID) -> Sequence[WebhookAttempt]:
        return self._session.tables.attempts.get(delivery_id, ())

    @override
    def reasons(self, deliveries: Iterable[WebhookDelivery]) -> Mapping[UUID, str]:
        webhooks, now = self._session.tables.webhooks, self._session.now()
        explained = {
            each.id: explain(
                each,
                webhooks[each.webhook_id],
                health_of(self._session, each.webhook_id),
                now=now,
                stopped_by=self._stopped_by(each),
            )
            for each in deliveries
        }
        return {delivery_id: reason for delivery_id, reason in explained.items() if reason is not None}

    @override
    def undelivered_page(
        self,
        workspace_id: UUID,
        criteria: DeliveryFilter,
        *,
        limit: int,
        after: Position | None = None,
        ids: IdRange | None = None,
    ) -> Sequence[Undelivered]:
        return newest(self._undelivered(workspace_id, criteria), limit=limit, after=after, ids=ids)

    @override
    def count_undelivered(self, workspace_id: UUID, criteria: DeliveryFilter, *, ids: IdRange | None = None) -> int:
        return counted(self._undelivered(workspace_id, criteria), ids)

    @override
    def horizon(self) -> datetime:
        return self._session.now()

    @override
    def changes(self, workspace_ids: Collection[UUID], *, since: datetime, until: datetime) -> Sequence[DeliveryChange]:
        tables = self._session.tables
        made = (
            each
            for each in tables.deliveries.values()
            if since <= age(each)[0] < until or since <= tables.recorded_at.get(each.id, until) < until
        )
        return self._as_changes(sorted(made, key=age), workspace_ids)

    @override
    def present(self, delivery_ids: Collection[UUID]) -> Sequence[DeliveryChange]:
        stored = self._session.tables.deliveries
        found = sorted((stored[each] for each in delivery_ids if each in stored), key=age)
        return self._as_changes(found, {self._workspace(each) for each in found})

    def _as_changes(self, found: Iterable[WebhookDelivery], workspace_ids: Collection[UUID]) -> list[DeliveryChange]:
        events = self._session.tables.events
        return [
            DeliveryChange(each, self._workspace(each), events[each.event_id].meeting_id)
            for each in found
            if self._workspace(each) in workspace_ids
        ]

    @override
    def redeliveries(self, delivery_id: UUID) -> Sequence[Redelivery]:
        return self._session.tables.redeliveries.get(delivery_id, ())

    @override
    def send_again(self, workspace_id: UUID, delivery_id: UUID) -> WebhookDelivery:
        delivery = self.get_by_id(workspace_id, delivery_id)
        if delivery is None:
            raise NotFoundError(f"delivery_id: no delivery {delivery_id} in this workspace")
        # Said first of one that is not settled: what speaks against its endpoint is no news for it.
        delivery.sent_again(now=self._session.now())
        tables = self._session.tables
        check_sending_again(tables.webhooks[delivery.webhook_id], tables.events[delivery.event_id])
        again = send_again(self._session, delivery, forced=True)
        webhook, event = tables.webhooks[again.webhook_id], tables.events[again.event_id]
        if webhook.options.is_ordered and event.meeting_id is not None and event.sequence is not None:
            sent = sent_of(tables, webhook, event.meeting_id)
            marked = ordered(again, event.meeting_id, event.sequence)
            tables.deliveries[again.id] = marked._replace(out_of_order=sent > event.sequence)
        return again

    @override
    def give_up(self, workspace_id: UUID, delivery_id: UUID) -> WebhookDelivery:
        delivery = self.get_by_id(workspace_id, delivery_id)
        if delivery is None:
            raise NotFoundError(f"delivery_id: no delivery {delivery_id} in this workspace")
        after = self._session.tables.deliveries[delivery_id] = given_up(delivery)
        wake_now(self._session, after.webhook_id)
        return after

    def _stopped_by(self, delivery: WebhookDelivery) -> UUID | None:
        if not is_blocked(delivery) or delivery.ordered_meeting is None:
            return None
        webhook = self._session.tables.webhooks[delivery.webhook_id]
        return walked(self._session.tables, webhook, delivery.ordered_meeting).order.stopped_by

    def _listed(self, workspace_id: UUID, criteria: DeliveryFilter) -> list[WebhookDelivery]:
        events = self._session.tables.events
        with_events = ((each, events[each.event_id]) for each in self._session.tables.deliveries.values())
        return [d for d, event in with_events if event.workspace_id == workspace_id and _meets(d, event, criteria)]

    def _undelivered(self, workspace_id: UUID, criteria: DeliveryFilter) -> list[Undelivered]:
        """Return the deliveries that have not succeeded, and the events that wait."""
        stored = self._session.tables.deliveries.values()
        deliveries = (
            Undelivered(each.event_id, each.event_type, age(each)[0], each)
            for each in stored
            if self._workspace(each) == workspace_id and is_undelivered(each, criteria)
        )
        return [*deliveries, *self._waiting(workspace_id, criteria)]

    def _waiting(self, workspace_id: UUID, criteria: DeliveryFilter) -> list[Undelivered]:
        """Return the events that wait to be matched with endpoints."""
        stored = self._session.tables.events.values()
        return [
            Undelivered(each.id, each.event_type, age(each)[0])
            for each in stored
            if each.workspace_id == workspace_id and is_unmatched(each, criteria)
        ]

    def _workspace(self, delivery: WebhookDelivery) -> UUID:
        return self._session.tables.events[delivery.event_id].workspace_id


def _meets(delivery: WebhookDelivery, event: Event, criteria: DeliveryFilter) -> bool:
    return meets(delivery, criteria, meeting_id=event.meeting_id)
