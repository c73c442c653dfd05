"""The endpoints in PostgreSQL. Deleted ones keep their row, for the deliveries that name it, and are hidden."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from typing_extensions import override

from noteflow_hooks.domain.deliveries import DELETED, DISABLED, DeliveryStatus
from noteflow_hooks.domain.health.state import after_change
from noteflow_hooks.domain.paging import DEFAULT_PAGE_SIZE
from noteflow_hooks.domain.ports.repositories import WebhookRepository
from noteflow_hooks.errors import NotFoundError
from noteflow_hooks.persistence.sql import health_statements
from noteflow_hooks.persistence.sql.converters import HEALTH_FIELDS, WebhookConverter, health_to_domain
from noteflow_hooks.persistence.sql.limits import SKIPPED_AT_ONCE
from noteflow_hooks.persistence.sql.orm import WebhookConfigRow, WebhookDeliveryRow, WebhookHealthRow, table_of
from noteflow_hooks.persistence.sql.paging import among, counted, newest_first

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from uuid import UUID

    from sqlalchemy import Select
    from sqlalchemy.orm import Session

    from noteflow_hooks.domain.deliveries import WebhookDelivery
    from noteflow_hooks.domain.health.state import EndpointHealth
    from noteflow_hooks.domain.paging import IdRange, Position
    from noteflow_hooks.domain.webhooks import WebhookConfig


class SqlAlchemyWebhookRepository(WebhookRepository):
    """The endpoints in PostgreSQL."""

    def __init__(self, session: Session, converter: WebhookConverter) -> None:
        """Work in that session."""
        self._session = session
        self._converter = converter

    @override
    def get_all_enabled(self, workspace_id: UUID | None = None) -> Sequence[WebhookConfig]:
        statement = self._visible().where(WebhookConfigRow.enabled)
        if workspace_id is not None:
            statement = statement.where(WebhookConfigRow.workspace_id == workspace_id)
        return self._load(statement.order_by(WebhookConfigRow.created_at, WebhookConfigRow.id))

    @override
    def get_all(self, workspace_id: UUID) -> Sequence[WebhookConfig]:
        statement = self._visible().where(WebhookConfigRow.workspace_id == workspace_id)
        return self._load(statement.order_by(WebhookConfigRow.created_at, WebhookConfigRow.id))

    @override
    def list_page(
        self, workspace_id: UUID, *, limit: int, after: Position | None = None, ids: IdRange | None = None
    ) -> Sequence[WebhookConfig]:
        statement = self._visible().where(WebhookConfigRow.workspace_id == workspace_id)
        return self._load(newest_first(statement, WebhookConfigRow, after=after, limit=limit, ids=ids))

    @override
    def count(self, workspace_id: UUID, *, ids: IdRange | None = None) -> int:
        own = self._visible().where(WebhookConfigRow.workspace_id == workspace_id)
        return self._session.scalars(counted(among(own, WebhookConfigRow, ids))).one()

    @override
    def get_by_id(self, webhook_id: UUID, *, lock: bool = False, with_deleted: bool = False) -> WebhookConfig | None:
        of = select(WebhookConfigRow) if with_deleted else self._visible()
        statement = of.where(WebhookConfigRow.id == webhook_id)
        found = self._load(statement.with_for_update(key_share=True) if lock else statement)
        return found[0] if found else None

    @override
    def create(self, config: WebhookConfig) -> WebhookConfig:
        columns = self._converter.config_to_orm_kwargs(config)
        row = self._session.scalars(insert(WebhookConfigRow).values(columns).returning(WebhookConfigRow)).one()
        return self._converter.config_to_domain(row)

    @override
    def update(self, config: WebhookConfig) -> WebhookConfig:
        before = self.get_by_id(config.id)
        columns = self._converter.config_to_orm_kwargs(config)
        # Named in SET, the key would be locked like one that changes, and dispatch would have to wait for this unit.
        del columns["id"]
        statement = (
            update(WebhookConfigRow)
            .where(WebhookConfigRow.id == config.id, WebhookConfigRow.deleted_at.is_(None))
            .values(columns)
            .returning(WebhookConfigRow)
            .execution_options(populate_existing=True)
        )
        row = self._session.scalars(statement).one_or_none()
        if row is None or before is None:
            raise NotFoundError(f"webhook_id: no webhook {config.id} in this workspace")
        after = self._converter.config_to_domain(row)
        if before.enabled and not after.enabled:
            self._skip_waiting(after.id, after.disabled_reason or DISABLED)
        self._change_health(before, after)
        return after

    @override
    def delete(self, webhook_id: UUID) -> bool:
        marked = self._session.execute(
            update(WebhookConfigRow)
            .where(WebhookConfigRow.id == webhook_id, WebhookConfigRow.deleted_at.is_(None))
            .values(
                deleted_at=func.now(),
                enabled=False,
                secret=None,
                previous_secret=None,
                previous_secret_expires_at=None,
                earlier_secrets=None,
                secret_id=None,
                secret_hint="",
                headers=None,
                header_names=[],
            )
            .returning(WebhookConfigRow.id)
        ).one_or_none()
        if marked is None:
            return False
        self._skip_waiting(webhook_id, DELETED)
        return True

    @override
    def get_health(self, webhook_ids: Iterable[UUID]) -> Mapping[UUID, EndpointHealth]:
        statement = select(WebhookHealthRow).where(WebhookHealthRow.webhook_id.in_(list(webhook_ids)))
        rows = self._session.scalars(statement.execution_options(populate_existing=True))
        return {row.webhook_id: health_to_domain(row) for row in rows}

    @override
    def add_delivery(self, delivery: WebhookDelivery) -> WebhookDelivery:
        columns = self._converter.delivery_to_orm_kwargs(delivery)
        owner = select(WebhookConfigRow.workspace_id).where(WebhookConfigRow.id == delivery.webhook_id)
        if delivery.status is DeliveryStatus.SENDING:
            columns["claimed_at"] = func.now()
        table = table_of(delivery.status)
        statement = insert(table).values(**columns, workspace_id=owner.scalar_subquery())
        row = self._session.execute(statement.returning(*table.__table__.columns)).one()
        return self._converter.delivery_to_domain(row)

    @override
    def get_deliveries(self, webhook_id: UUID, limit: int = DEFAULT_PAGE_SIZE) -> Sequence[WebhookDelivery]:
        statement = select(WebhookDeliveryRow).where(WebhookDeliveryRow.webhook_id == webhook_id)
        rows = self._session.scalars(newest_first(statement, WebhookDeliveryRow, after=None, limit=limit))
        return [self._converter.delivery_to_domain(row) for row in rows]

    def _skip_waiting(self, webhook_id: UUID, reason: str) -> None:
        params = {"webhook_id": webhook_id, "reason": reason, "limit": SKIPPED_AT_ONCE}
        skipped = self._session.execute(health_statements.SKIP_WAITING, params)
        if len(skipped.all()) == SKIPPED_AT_ONCE:
            # Its scheduling slots skip the rest, without a POST.
            statement = update(WebhookHealthRow).where(WebhookHealthRow.webhook_id == webhook_id)
            self._session.execute(statement.values(turn_at=func.now()))

    def _change_health(self, before: WebhookConfig, after: WebhookConfig) -> None:
        statement = select(WebhookHealthRow).where(WebhookHealthRow.webhook_id == after.id)
        statement = statement.with_for_update(key_share=True).execution_options(populate_existing=True)
        row = self._session.scalars(statement).one_or_none()
        if row is None:
            return
        now = self._session.scalars(select(func.now())).one()
        health = health_to_domain(row)
        changed = after_change(health, before, after, now=now)
        if changed != health:
            for name in HEALTH_FIELDS:
                setattr(row, name, getattr(changed, name))
            self._session.flush()

    @staticmethod
    def _visible() -> Select[WebhookConfigRow]:
        return select(WebhookConfigRow).where(WebhookConfigRow.deleted_at.is_(None))

    def _load(self, statement: Select[WebhookConfigRow]) -> list[WebhookConfig]:
        # The session may hold a row from before an update that went past it.
        rows = self._session.scalars(statement.execution_options(populate_existing=True))
        return [self._converter.config_to_domain(row) for row in rows]
