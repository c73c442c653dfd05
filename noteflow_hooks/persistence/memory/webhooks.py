"""The endpoints in memory. Deleted ones keep their row, for the deliveries that name it, and are hidden."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from typing_extensions import override

from noteflow_hooks.domain.client_certificates import PLAIN_TLS
from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.filters import NO_TROUBLE
from noteflow_hooks.domain.health.state import after_change
from noteflow_hooks.domain.matching import is_in_state
from noteflow_hooks.domain.paging import ALL_WEBHOOKS, DEFAULT_PAGE_SIZE
from noteflow_hooks.domain.ports.repositories import WebhookRepository
from noteflow_hooks.domain.skipping import DELETED, skip_of_disabled
from noteflow_hooks.errors import AlreadyExistsError, NotFoundError
from noteflow_hooks.persistence.memory.health import health_of, skip_waiting
from noteflow_hooks.persistence.memory.mails import forget_contact
from noteflow_hooks.persistence.memory.tables import age, counted, newest, require

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from uuid import UUID

    from noteflow_hooks.domain.deliveries import WebhookDelivery
    from noteflow_hooks.domain.filters import FilterTrouble
    from noteflow_hooks.domain.health.state import EndpointHealth
    from noteflow_hooks.domain.paging import IdRange, Position, WebhookFilter
    from noteflow_hooks.domain.webhooks import WebhookConfig
    from noteflow_hooks.persistence.memory.store import Session


class InMemoryWebhookRepository(WebhookRepository):
    """The endpoints in memory."""

    def __init__(self, session: Session) -> None:
        """Work in this transaction."""
        self._session = session

    @override
    def get_all_enabled(self, workspace_id: UUID | None = None) -> Sequence[WebhookConfig]:
        return [
            webhook for webhook in self._visible() if webhook.enabled and workspace_id in (None, webhook.workspace_id)
        ]

    @override
    def get_all(self, workspace_id: UUID) -> Sequence[WebhookConfig]:
        return [webhook for webhook in self._visible() if webhook.workspace_id == workspace_id]

    @override
    def list_page(
        self, workspace_id: UUID, *, limit: int, after: Position | None = None, ids: IdRange | None = None
    ) -> Sequence[WebhookConfig]:
        return newest(self.get_all(workspace_id), limit=limit, after=after, ids=ids)

    @override
    def list_with_health(
        self,
        workspace_id: UUID,
        criteria: WebhookFilter = ALL_WEBHOOKS,
        *,
        limit: int,
        after: Position | None = None,
        ids: IdRange | None = None,
    ) -> Sequence[tuple[WebhookConfig, EndpointHealth]]:
        page = newest(self._in_state(workspace_id, criteria), limit=limit, after=after, ids=ids)
        return [(each, health_of(self._session, each.id)) for each in page]

    @override
    def count(self, workspace_id: UUID, criteria: WebhookFilter = ALL_WEBHOOKS, *, ids: IdRange | None = None) -> int:
        return counted(self._in_state(workspace_id, criteria), ids)

    @override
    def get_by_id(self, webhook_id: UUID, *, lock: bool = False, with_deleted: bool = False) -> WebhookConfig | None:
        webhook = self._session.tables.webhooks.get(webhook_id)
        return webhook if webhook is not None and (with_deleted or webhook.deleted_at is None) else None

    @override
    def create(self, config: WebhookConfig) -> WebhookConfig:
        require(self._session.tables.workspaces, config.workspace_id, called="workspace")
        now = self._session.now()
        stored = replace(config, created_at=now, updated_at=now)
        self._session.tables.webhooks[stored.id] = stored
        return stored

    @override
    def update(self, config: WebhookConfig) -> WebhookConfig:
        before = self.get_by_id(config.id)
        if before is None:
            raise NotFoundError(f"webhook_id: there is no webhook {config.id}")
        stored = replace(
            config,
            workspace_id=before.workspace_id,
            created_at=before.created_at,
            updated_at=self._session.now(),
        )
        self._session.tables.webhooks[stored.id] = stored
        if before.enabled and not stored.enabled:
            skip_waiting(self._session, stored.id, skip_of_disabled(stored))
        health = health_of(self._session, stored.id)
        self._session.tables.health[stored.id] = after_change(health, before, stored, now=self._session.now())
        if before.options.filter != stored.options.filter:
            self._session.tables.filter_trouble[stored.id] = NO_TROUBLE
        return stored

    @override
    def delete(self, webhook_id: UUID) -> bool:
        webhook = self.get_by_id(webhook_id)
        if webhook is None:
            return False
        now = self._session.now()
        self._session.tables.webhooks[webhook_id] = replace(
            webhook,
            enabled=False,
            secret=None,
            previous_secret=None,
            previous_secret_expires_at=None,
            earlier_secrets=(),
            secret_id=None,
            earlier_secrets_unreadable=False,
            secret_hint="",
            secret_unavailable=False,
            secret_unreadable=False,
            headers=(),
            header_names=(),
            signing_key=None,
            previous_keys=(),
            keys_unreadable=False,
            hidden_url=None,
            url_unreadable=False,
            tls=PLAIN_TLS,
            verification=replace(webhook.verification, pending_url=None, challenge=None),
            contact=None,
            updated_at=now,
            deleted_at=now,
        )
        skip_waiting(self._session, webhook_id, DELETED)
        forget_contact(self._session, webhook_id)
        return True

    @override
    def get_health(self, webhook_ids: Iterable[UUID]) -> Mapping[UUID, EndpointHealth]:
        return {each: health_of(self._session, each) for each in webhook_ids}

    @override
    def get_filter_trouble(self, webhook_ids: Iterable[UUID]) -> Mapping[UUID, FilterTrouble]:
        stored = self._session.tables.filter_trouble
        return {each: stored[each] for each in webhook_ids if stored.get(each, NO_TROUBLE) != NO_TROUBLE}

    @override
    def add_delivery(self, delivery: WebhookDelivery) -> WebhookDelivery:
        tables, now = self._session.tables, self._session.now()
        require(tables.webhooks, delivery.webhook_id, called="webhook")
        require(tables.events, delivery.event_id, called="event")
        if any(each.event_id == delivery.event_id for each in self._deliveries(delivery.webhook_id)):
            raise AlreadyExistsError(f"event {delivery.event_id} has a delivery to webhook {delivery.webhook_id}")
        stored = delivery._replace(created_at=now)
        if stored.status is DeliveryStatus.PENDING and stored.next_attempt_at is None:
            stored = stored._replace(next_attempt_at=now)
        tables.deliveries[stored.id] = stored
        return stored

    @override
    def get_deliveries(self, webhook_id: UUID, limit: int = DEFAULT_PAGE_SIZE) -> Sequence[WebhookDelivery]:
        return newest(self._deliveries(webhook_id), limit=limit)

    def _in_state(self, workspace_id: UUID, criteria: WebhookFilter) -> list[WebhookConfig]:
        own = self.get_all(workspace_id)
        return [each for each in own if is_in_state(each, health_of(self._session, each.id), criteria)]

    def _visible(self) -> list[WebhookConfig]:
        stored = self._session.tables.webhooks.values()
        return sorted((webhook for webhook in stored if webhook.deleted_at is None), key=age)

    def _deliveries(self, webhook_id: UUID) -> list[WebhookDelivery]:
        stored = self._session.tables.deliveries.values()
        return [delivery for delivery in stored if delivery.webhook_id == webhook_id]
