"""Endpoints, events and deliveries in PostgreSQL. Each works in the session of its unit of work."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias, TypeVarTuple, cast

from sqlalchemy import func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from noteflow_hooks.domain.deliveries import DELETED, NOTHING_TO_SEND_TO, SETTLED, DeliveryStatus, WebhookDelivery
from noteflow_hooks.errors import AlreadyExistsError, NotFoundError, PreconditionError
from noteflow_hooks.persistence.converters import (
    WebhookConverter,
    attempt_to_domain,
    event_to_domain,
    event_to_orm_kwargs,
)
from noteflow_hooks.persistence.orm import (
    MeetingRow,
    WebhookAttemptRow,
    WebhookConfigRow,
    WebhookDeliveryRow,
    WebhookEventRow,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Select, Table
    from sqlalchemy.orm import Session

    from noteflow_hooks.domain.deliveries import WebhookAttempt
    from noteflow_hooks.domain.events import Event
    from noteflow_hooks.domain.ports import DeliveryFilter, Position
    from noteflow_hooks.domain.webhooks import WebhookConfig


Columns = TypeVarTuple("Columns")
#: The tables that are listed page by page: each has ``created_at`` and ``id``.
Listed: TypeAlias = MeetingRow | WebhookConfigRow | WebhookDeliveryRow | WebhookEventRow


def newest_first(
    statement: Select[*Columns],
    table: type[Listed],
    after: Position | None,
    limit: int,
) -> Select[*Columns]:
    """Return the statement for one page of rows that have ``created_at`` and ``id``, behind ``after``."""
    if after is not None:
        statement = statement.where(tuple_(table.created_at, table.id) < (after.created_at, after.id))
    return statement.order_by(table.created_at.desc(), table.id.desc()).limit(limit)


_EVENTS = cast("Table", WebhookEventRow.__table__)
# Built once, on the table, and executed with parameters, since every meeting's change waits for it: 0.6 ms of CPU an
# event in place of 1.1 with a statement built anew on the mapped class.
_INSERT_EVENT = insert(_EVENTS).returning(_EVENTS.c.created_at)
# Waits for a rival's commit, so that exactly one of any number of racing callers inserts.
_INSERT_EVENT_ONCE = (
    insert(_EVENTS)
    .on_conflict_do_nothing(index_elements=["workspace_id", "idempotency_key"])
    .returning(_EVENTS.c.created_at)
)


class SqlAlchemyWebhookRepository:
    """The endpoints; see :class:`noteflow_hooks.domain.ports.WebhookRepository`."""

    def __init__(self, session: Session, converter: WebhookConverter) -> None:
        """Work in that session."""
        self._session = session
        self._converter = converter

    def get_all_enabled(self, workspace_id: UUID | None = None) -> Sequence[WebhookConfig]:
        """Return the enabled endpoints of one workspace, or of all, oldest first."""
        statement = self._visible().where(WebhookConfigRow.enabled)
        if workspace_id is not None:
            statement = statement.where(WebhookConfigRow.workspace_id == workspace_id)
        return self._load(statement.order_by(WebhookConfigRow.created_at, WebhookConfigRow.id))

    def get_all(self, workspace_id: UUID) -> Sequence[WebhookConfig]:
        """Return the endpoints of a workspace, oldest first."""
        statement = self._visible().where(WebhookConfigRow.workspace_id == workspace_id)
        return self._load(statement.order_by(WebhookConfigRow.created_at, WebhookConfigRow.id))

    def list_page(self, workspace_id: UUID, *, limit: int, after: Position | None = None) -> Sequence[WebhookConfig]:
        """Return a page of a workspace's endpoints, newest first."""
        statement = self._visible().where(WebhookConfigRow.workspace_id == workspace_id)
        return self._load(newest_first(statement, WebhookConfigRow, after, limit))

    def get_by_id(self, webhook_id: UUID, *, lock: bool = False) -> WebhookConfig | None:
        """Return an endpoint, or None; with ``lock`` nobody else changes it before this unit ends."""
        statement = self._visible().where(WebhookConfigRow.id == webhook_id)
        found = self._load(statement.with_for_update(key_share=True) if lock else statement)
        return found[0] if found else None

    def create(self, config: WebhookConfig) -> WebhookConfig:
        """Store a new endpoint and return it as stored."""
        columns = self._converter.config_to_orm_kwargs(config)
        row = self._session.scalars(insert(WebhookConfigRow).values(columns).returning(WebhookConfigRow)).one()
        return self._converter.config_to_domain(row)

    def update(self, config: WebhookConfig) -> WebhookConfig:
        """Store a changed endpoint and return it as stored; raise NotFoundError where there is none."""
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
        if row is None:
            raise NotFoundError(f"webhook_id: no webhook {config.id} in this workspace")
        return self._converter.config_to_domain(row)

    def delete(self, webhook_id: UUID) -> bool:
        """Mark it deleted, erase its secrets, and skip what waits for it; False where there is none."""
        marked = self._session.execute(
            update(WebhookConfigRow)
            .where(WebhookConfigRow.id == webhook_id, WebhookConfigRow.deleted_at.is_(None))
            .values(
                deleted_at=func.now(),
                enabled=False,
                secret=None,
                previous_secret=None,
                secret_hint="",
            )
            .returning(WebhookConfigRow.id)
        ).one_or_none()
        if marked is None:
            return False
        self._session.execute(
            update(WebhookDeliveryRow)
            .where(
                WebhookDeliveryRow.webhook_id == webhook_id,
                WebhookDeliveryRow.status == DeliveryStatus.PENDING,
            )
            .values(status=DeliveryStatus.SKIPPED, error_message=DELETED, next_attempt_at=None)
        )
        return True

    def add_delivery(self, delivery: WebhookDelivery) -> WebhookDelivery:
        """Store a delivery and return it as stored."""
        columns = self._converter.delivery_to_orm_kwargs(delivery)
        owner = select(WebhookConfigRow.workspace_id).where(WebhookConfigRow.id == delivery.webhook_id)
        if delivery.status is DeliveryStatus.SENDING:
            columns["claimed_at"] = func.now()
        statement = insert(WebhookDeliveryRow).values(**columns, workspace_id=owner.scalar_subquery())
        row = self._session.scalars(statement.returning(WebhookDeliveryRow)).one()
        return self._converter.delivery_to_domain(row)

    def get_deliveries(self, webhook_id: UUID, limit: int = 50) -> Sequence[WebhookDelivery]:
        """Return an endpoint's deliveries, newest first."""
        statement = select(WebhookDeliveryRow).where(WebhookDeliveryRow.webhook_id == webhook_id)
        rows = self._session.scalars(newest_first(statement, WebhookDeliveryRow, None, limit))
        return [self._converter.delivery_to_domain(row) for row in rows]

    @staticmethod
    def _visible() -> Select[WebhookConfigRow]:
        return select(WebhookConfigRow).where(WebhookConfigRow.deleted_at.is_(None))

    def _load(self, statement: Select[WebhookConfigRow]) -> list[WebhookConfig]:
        # The session may hold a row from before an update that went past it.
        rows = self._session.scalars(statement.execution_options(populate_existing=True))
        return [self._converter.config_to_domain(row) for row in rows]


class SqlAlchemyEventOutbox:
    """The events; see :class:`noteflow_hooks.domain.ports.EventOutbox`."""

    def __init__(self, session: Session) -> None:
        """Work in that session."""
        self._session = session

    def append(self, event: Event) -> Event:
        """Store the event, or return the one that its idempotency key stands for already."""
        statement = _INSERT_EVENT if event.idempotency_key is None else _INSERT_EVENT_ONCE
        created_at = self._session.execute(statement, event_to_orm_kwargs(event)).scalar_one_or_none()
        return replace(event, created_at=created_at) if created_at is not None else self._repeated(event)

    def get_by_id(self, event_id: UUID) -> Event | None:
        """Return an event, or None."""
        row = self._session.scalars(
            select(WebhookEventRow).where(WebhookEventRow.id == event_id).execution_options(populate_existing=True)
        ).one_or_none()
        return None if row is None else event_to_domain(row)

    def list_page(self, workspace_id: UUID, *, limit: int, after: Position | None = None) -> Sequence[Event]:
        """Return a page of a workspace's events, newest first."""
        statement = select(WebhookEventRow).where(WebhookEventRow.workspace_id == workspace_id)
        rows = self._session.scalars(newest_first(statement, WebhookEventRow, after, limit))
        return [event_to_domain(row) for row in rows]

    def _repeated(self, event: Event) -> Event:
        stored = self._session.scalars(
            select(WebhookEventRow).where(
                WebhookEventRow.workspace_id == event.workspace_id,
                WebhookEventRow.idempotency_key == event.idempotency_key,
            )
        ).one()
        if stored.request_digest != event.request_digest:
            raise AlreadyExistsError("idempotency_key: was used for an event with another type or payload")
        return event_to_domain(stored)


class SqlAlchemyDeliveryLog:
    """The deliveries; see :class:`noteflow_hooks.domain.ports.DeliveryLog`."""

    def __init__(self, session: Session, converter: WebhookConverter) -> None:
        """Work in that session."""
        self._session = session
        self._converter = converter

    def get_by_id(self, workspace_id: UUID, delivery_id: UUID) -> WebhookDelivery | None:
        """Return a delivery of that workspace, or None."""
        row = self._session.scalars(self._wanted(workspace_id, delivery_id)).one_or_none()
        return None if row is None else self._converter.delivery_to_domain(row)

    def get_by_event(self, event_id: UUID) -> Sequence[WebhookDelivery]:
        """Return the deliveries of one event, oldest first."""
        statement = select(WebhookDeliveryRow).where(WebhookDeliveryRow.event_id == event_id)
        rows = self._session.scalars(
            statement.order_by(WebhookDeliveryRow.created_at, WebhookDeliveryRow.id).execution_options(
                populate_existing=True
            )
        )
        return [self._converter.delivery_to_domain(row) for row in rows]

    def list_page(
        self, workspace_id: UUID, criteria: DeliveryFilter, *, limit: int, after: Position | None = None
    ) -> Sequence[WebhookDelivery]:
        """Return a page of a workspace's deliveries, newest first."""
        table = WebhookDeliveryRow
        statement = select(table).where(table.workspace_id == workspace_id)
        for column, value in (
            (table.webhook_id, criteria.webhook_id),
            (table.status, criteria.status),
            (table.event_type, criteria.event_type),
        ):
            if value is not None:
                statement = statement.where(column == value)
        if criteria.created_after is not None:
            statement = statement.where(table.created_at >= criteria.created_after)
        if criteria.created_before is not None:
            statement = statement.where(table.created_at < criteria.created_before)
        rows = self._session.scalars(newest_first(statement, table, after, limit))
        return [self._converter.delivery_to_domain(row) for row in rows]

    def attempts(self, delivery_id: UUID) -> Sequence[WebhookAttempt]:
        """Return a delivery's attempts, first one first."""
        statement = select(WebhookAttemptRow).where(WebhookAttemptRow.delivery_id == delivery_id)
        return [
            attempt_to_domain(row)
            for row in self._session.scalars(statement.order_by(WebhookAttemptRow.attempt_number))
        ]

    def send_again(self, workspace_id: UUID, delivery_id: UUID) -> WebhookDelivery:
        """Make a settled delivery due once more."""
        # Only a settled row is locked: a claim that finds a due one locked would pass it by.
        settled = self._wanted(workspace_id, delivery_id).where(WebhookDeliveryRow.status.in_(SETTLED))
        row = self._session.scalars(settled.with_for_update(key_share=True)).one_or_none()
        now = self._session.scalars(select(func.now())).one()
        if row is None:
            return self._refuse(workspace_id, delivery_id, now)
        deleted = select(WebhookConfigRow.deleted_at).where(WebhookConfigRow.id == row.webhook_id)
        if self._session.scalars(deleted).one() is not None:
            raise PreconditionError(NOTHING_TO_SEND_TO)
        again = self._converter.delivery_to_domain(row).sent_again(now=now)
        for name, value in self._converter.delivery_to_orm_kwargs(again).items():
            setattr(row, name, value)
        self._session.flush()
        return again

    def _refuse(self, workspace_id: UUID, delivery_id: UUID, now: datetime) -> WebhookDelivery:
        """Raise for a delivery that is not there or not settled; return it where it has just become due again."""
        delivery = self.get_by_id(workspace_id, delivery_id)
        if delivery is None:
            raise NotFoundError(f"delivery_id: no delivery {delivery_id} in this workspace")
        return delivery.sent_again(now=now)

    @staticmethod
    def _wanted(workspace_id: UUID, delivery_id: UUID) -> Select[WebhookDeliveryRow]:
        wanted = WebhookDeliveryRow.workspace_id == workspace_id, WebhookDeliveryRow.id == delivery_id
        return select(WebhookDeliveryRow).where(*wanted).execution_options(populate_existing=True)
