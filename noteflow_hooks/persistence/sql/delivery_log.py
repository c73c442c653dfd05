"""The deliveries in PostgreSQL, as integrators look at them: what came of each, why it waits, and sending it again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVarTuple

from sqlalchemy import and_, cast, func, literal_column, null, select, union_all
from typing_extensions import override

from noteflow_hooks.domain.deliveries import FINAL_STATUSES, DeliveryStatus, WebhookDelivery
from noteflow_hooks.domain.health.reasons import explain
from noteflow_hooks.domain.options import Ordering
from noteflow_hooks.domain.ordering import given_up, is_blocked
from noteflow_hooks.domain.paging import DeliveryChange, Undelivered
from noteflow_hooks.domain.ports.repositories import DeliveryLog
from noteflow_hooks.domain.replays import check_sending_again
from noteflow_hooks.domain.skipping import SkipReason
from noteflow_hooks.errors import NotFoundError
from noteflow_hooks.persistence.sql import meeting_orders
from noteflow_hooks.persistence.sql.attempts import ATTEMPTS, attempt_to_domain
from noteflow_hooks.persistence.sql.converters import (
    DELIVERY_FIELDS,
    HEALTH_PREFIX,
    REDELIVERY_FIELDS,
    WebhookConverter,
    event_to_domain,
    health_to_domain,
    redelivery_to_domain,
)
from noteflow_hooks.persistence.sql.endpoint_columns import WITH_HEALTH
from noteflow_hooks.persistence.sql.moves import SEND_ONE_AGAIN
from noteflow_hooks.persistence.sql.narrowed_lists import OF_DELIVERIES, NarrowedLists
from noteflow_hooks.persistence.sql.orm import (
    WebhookConfigRow,
    WebhookDeliveryRow,
    WebhookEventRow,
    WebhookRedeliveryRow,
)
from noteflow_hooks.persistence.sql.paging import among, counted, newest_first
from noteflow_hooks.persistence.sql.watched import CHANGES, HORIZON, PRESENT, window
from noteflow_hooks.persistence.sql.wire import Statement

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import ColumnElement, Row, Select
    from sqlalchemy.orm import Session

    from noteflow_hooks.domain.attempts import WebhookAttempt
    from noteflow_hooks.domain.paging import DeliveryFilter, IdRange, Position
    from noteflow_hooks.domain.replays import Redelivery
    from noteflow_hooks.persistence.sql.work import Answer, Work

Columns = TypeVarTuple("Columns")
#: Written out in the statements: only so these are known to be what the indexes of the undelivered are about.
NOT_SUCCEEDED: Final = WebhookDeliveryRow.status != literal_column(f"'{DeliveryStatus.SUCCEEDED}'")
NOT_FILTERED: Final = WebhookDeliveryRow.skip_reason.is_distinct_from(literal_column(f"'{SkipReason.FILTERED}'"))
# rule of domain.matching.is_undelivered
OWED: Final = and_(NOT_SUCCEEDED, NOT_FILTERED)
_COLUMNS: Final = ", ".join(DELIVERY_FIELDS)
_TABLE: Final = "noteflow.webhook_deliveries"
_LISTS: Final = NarrowedLists(_COLUMNS, _TABLE, own=OF_DELIVERIES)
_BY_ID: Final = Statement(
    f"SELECT {_COLUMNS} FROM {_TABLE} WHERE workspace_id = :workspace_id AND id = :delivery_id",  # noqa: S608 - constants
    reads=True,
)
_BY_EVENT: Final = Statement(
    f"SELECT {_COLUMNS} FROM {_TABLE} WHERE event_id = :event_id ORDER BY created_at, id",  # noqa: S608 - constants
    reads=True,
)
_REDELIVERIES: Final = Statement(
    f"SELECT {', '.join(REDELIVERY_FIELDS)} FROM noteflow.webhook_redeliveries"  # noqa: S608 - constants
    " WHERE delivery_id = :delivery_id ORDER BY requested_at, id",
    reads=True,
)
#: Endpoints with their health, and the moment of it.
_ENDPOINTS: Final = Statement(
    f"SELECT {WITH_HEALTH}, now() AS asked_at"  # noqa: S608 - constants
    " FROM noteflow.webhook_configs AS config JOIN noteflow.webhook_health AS health ON health.webhook_id = config.id"
    " WHERE config.id = ANY(CAST(:webhook_ids AS uuid[]))",
    reads=True,
)


def narrowed(
    statement: Select[*Columns],
    table: type[WebhookDeliveryRow | WebhookEventRow],
    workspace_id: UUID,
    criteria: DeliveryFilter,
) -> Select[*Columns]:
    """Return the statement for those rows of a workspace that meet the criteria that both tables have."""
    statement = statement.where(table.workspace_id == workspace_id)
    if criteria.event_type is not None:
        statement = statement.where(table.event_type == criteria.event_type)
    if criteria.created_after is not None:
        statement = statement.where(table.created_at >= criteria.created_after)
    if criteria.created_before is not None:
        statement = statement.where(table.created_at < criteria.created_before)
    return statement


def of_endpoint(statement: Select[*Columns], criteria: DeliveryFilter) -> Select[*Columns]:
    """Return the statement for the deliveries to the endpoint that the criteria name, if they name one."""
    if criteria.webhook_id is None:
        return statement
    return statement.where(WebhookDeliveryRow.webhook_id == criteria.webhook_id)


class SqlAlchemyDeliveryLog(DeliveryLog):
    """The deliveries, as integrators look at them, in PostgreSQL."""

    def __init__(self, work: Work, converter: WebhookConverter) -> None:
        """Do it in that work."""
        self._work = work
        self._converter = converter

    @property
    def _session(self) -> Session:
        return self._work.session

    @override
    def get_by_id(self, workspace_id: UUID, delivery_id: UUID) -> WebhookDelivery | None:
        row = self._work.ask(_BY_ID, workspace_id=workspace_id, delivery_id=delivery_id).first()
        return None if row is None else self._converter.delivery_to_domain(row)

    @override
    def get_by_event(self, event_id: UUID) -> Sequence[WebhookDelivery]:
        return self._load(_BY_EVENT, event_id=event_id)

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
        pages, own = _LISTS.of(workspace_id, criteria)
        statement, params = pages.page(after=after, limit=limit, ids=ids, **own)
        return self._load(statement, **params)

    @override
    def count(self, workspace_id: UUID, criteria: DeliveryFilter, *, ids: IdRange | None = None) -> int:
        pages, own = _LISTS.of(workspace_id, criteria)
        statement, params = pages.total(ids=ids, **own)
        total: int = self._work.ask(statement, **params).first().total
        return total

    @override
    def attempts(self, delivery_id: UUID) -> Sequence[WebhookAttempt]:
        rows = self._work.ask(ATTEMPTS, delivery_id=delivery_id).all()
        return [attempt_to_domain(row) for row in self._work.by_turns(rows)]

    @override
    def reasons(self, deliveries: Iterable[WebhookDelivery]) -> Mapping[UUID, str]:
        left = [each for each in deliveries if each.status is not DeliveryStatus.SUCCEEDED]
        asked = {each.webhook_id for each in left}
        rows = self._work.ask(_ENDPOINTS, webhook_ids=list(asked)).all() if left else []
        stopped = self._stopped([each.id for each in left if is_blocked(each)])
        explained: dict[UUID, str | None] = {}
        for row in self._work.by_turns(rows):
            endpoint = self._converter.config_to_domain(row), health_to_domain(row, prefix=HEALTH_PREFIX)
            own = (each for each in left if each.webhook_id == row.id)
            explained |= {
                each.id: explain(each, *endpoint, now=row.asked_at, stopped_by=stopped.get(each.id)) for each in own
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
        parts = [
            newest_first(statement, table, after=after, limit=limit, ids=ids)
            for statement, table in _undelivered(workspace_id, criteria)
        ]
        both = union_all(*parts).subquery()
        page = select(both).order_by(both.c.created_at.desc(), both.c.id.desc()).limit(limit)
        return [self._undelivered(row) for row in self._session.execute(page)]

    @override
    def count_undelivered(self, workspace_id: UUID, criteria: DeliveryFilter, *, ids: IdRange | None = None) -> int:
        parts = _undelivered(workspace_id, criteria)
        return self._session.scalars(counted(*(among(statement, table, ids) for statement, table in parts))).one()

    @override
    def horizon(self) -> datetime:
        moment: datetime = self._work.ask(HORIZON).first().moment
        return moment

    @override
    def changes(self, workspace_ids: Collection[UUID], *, since: datetime, until: datetime) -> Sequence[DeliveryChange]:
        return self._as_changes(self._work.ask(CHANGES, **window(workspace_ids, since, until)))

    @override
    def present(self, delivery_ids: Collection[UUID]) -> Sequence[DeliveryChange]:
        return self._as_changes(self._work.ask(PRESENT, ids=list(delivery_ids)))

    def _as_changes(self, found: Answer) -> list[DeliveryChange]:
        return [
            DeliveryChange(self._converter.delivery_to_domain(row), row.workspace_id, row.meeting_id)
            for row in self._work.by_turns(found.all())
        ]

    @override
    def redeliveries(self, delivery_id: UUID) -> Sequence[Redelivery]:
        rows = self._work.ask(_REDELIVERIES, delivery_id=delivery_id).all()
        return [redelivery_to_domain(row) for row in rows]

    @override
    def send_again(self, workspace_id: UUID, delivery_id: UUID) -> WebhookDelivery:
        # Only a settled row is locked: a claim that finds a due one locked would pass it by.
        settled = self._wanted(workspace_id, delivery_id).where(WebhookDeliveryRow.status.in_(FINAL_STATUSES))
        row = self._session.scalars(settled.with_for_update(key_share=True)).one_or_none()
        now = self._session.scalars(select(func.now())).one()
        if row is None:
            self._refuse(workspace_id, delivery_id, now)
            # It was settled between the two looks.
            return self.send_again(workspace_id, delivery_id)
        webhook = self._session.get_one(WebhookConfigRow, row.webhook_id, populate_existing=True)
        event = self._session.get_one(WebhookEventRow, row.event_id, populate_existing=True)
        check_sending_again(self._converter.config_to_domain(webhook), event_to_domain(event))
        before = self._converter.delivery_to_domain(row)
        again = before.sent_again(now=now, forced=True)
        self._session.execute(SEND_ONE_AGAIN, {"ids": [delivery_id], "forced": again.forced, "unfiltered": False})
        if webhook.ordering != Ordering.NONE:
            # A slot that just sends a later one ends first, so that this one is marked as out of order.
            self._session.execute(meeting_orders.LOCK, {"webhook_ids": [webhook.id]})
            self._session.execute(meeting_orders.SENT_AGAIN, {"id": delivery_id})
        self._session.add(
            WebhookRedeliveryRow(
                delivery_id=delivery_id, previous_status=before.status, after_attempt=before.attempt_count
            )
        )
        self._session.flush()
        return again

    @override
    def give_up(self, workspace_id: UUID, delivery_id: UUID) -> WebhookDelivery:
        for _ in range(2):
            # One that is settled while its lock is waited for has moved to the other table, and is looked for again.
            wanted = self._wanted(workspace_id, delivery_id).with_for_update(key_share=True)
            row = self._session.scalars(wanted).one_or_none()
            if row is not None:
                return self._given_up(self._converter.delivery_to_domain(row))
        raise NotFoundError(f"delivery_id: no delivery {delivery_id} in this workspace")

    def _given_up(self, before: WebhookDelivery) -> WebhookDelivery:
        after = given_up(before)
        params = {"id": after.id, "message": after.error_message, "reason": after.skip_reason}
        for statement in (meeting_orders.GIVE_UP_QUEUED, meeting_orders.GIVE_UP_SETTLED, meeting_orders.RELEASE_OF):
            self._session.execute(statement, params)
        # Behind the delivery's own lock, as everywhere.
        self._session.execute(meeting_orders.WAKE, {"webhook_ids": [after.webhook_id]})
        self._session.expire_all()
        return after

    def _stopped(self, delivery_ids: list[UUID]) -> dict[UUID, UUID]:
        """Return which dead deliveries hold those of these that one holds."""
        rows = self._work.ask(meeting_orders.STOPPED_BY, delivery_ids=delivery_ids).all() if delivery_ids else []
        return {row.id: row.stopped_by for row in rows}

    def _refuse(self, workspace_id: UUID, delivery_id: UUID, now: datetime) -> None:
        """Raise for a delivery that is not there, or not settled."""
        delivery = self.get_by_id(workspace_id, delivery_id)
        if delivery is None:
            raise NotFoundError(f"delivery_id: no delivery {delivery_id} in this workspace")
        delivery.sent_again(now=now)

    def _load(self, statement: Statement, **params: Any) -> list[WebhookDelivery]:  # noqa: ANN401 - whatever it takes
        rows = self._work.ask(statement, **params).all()
        return [self._converter.delivery_to_domain(row) for row in self._work.by_turns(rows)]

    def _undelivered(self, row: Row[Any]) -> Undelivered:
        delivery = self._converter.delivery_to_domain(row) if row.webhook_id is not None else None
        return Undelivered(row.event_id, row.event_type, row.created_at, delivery)

    @staticmethod
    def _wanted(workspace_id: UUID, delivery_id: UUID) -> Select[WebhookDeliveryRow]:
        wanted = WebhookDeliveryRow.workspace_id == workspace_id, WebhookDeliveryRow.id == delivery_id
        return select(WebhookDeliveryRow).where(*wanted).execution_options(populate_existing=True)


def _undelivered(
    workspace_id: UUID, criteria: DeliveryFilter
) -> list[tuple[Select[Any], type[WebhookDeliveryRow | WebhookEventRow]]]:
    """Return the statements for the deliveries, and for the events that wait, that are not delivered."""
    delivery, event = WebhookDeliveryRow, WebhookEventRow
    columns = [getattr(delivery, name) for name in DELIVERY_FIELDS]
    deliveries = of_endpoint(narrowed(select(*columns), delivery, workspace_id, criteria), criteria)
    parts: list[tuple[Select[Any], type[WebhookDeliveryRow | WebhookEventRow]]]
    parts = [(deliveries.where(OWED), delivery)]
    if criteria.webhook_id is None:
        waiting = narrowed(select(*_event_columns()), event, workspace_id, criteria)
        # rule of domain.matching.is_unmatched
        parts.append((waiting.where(event.dispatched_at.is_(None)), event))
    return parts


def _event_columns() -> list[ColumnElement[Any]]:
    """Return what an event has of a delivery's columns, and nothing for the others."""
    event = WebhookEventRow
    known: dict[str, Any] = {
        "id": event.id,
        "event_id": event.id,
        "event_type": event.event_type,
        "created_at": event.created_at,
    }
    return [
        (known[name] if name in known else cast(null(), getattr(WebhookDeliveryRow, name).type)).label(name)
        for name in DELIVERY_FIELDS
    ]
