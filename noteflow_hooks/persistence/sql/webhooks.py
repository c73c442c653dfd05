"""The endpoints in PostgreSQL. Deleted ones keep their row, for the deliveries that name it, and are hidden."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from typing_extensions import override

from noteflow_hooks.domain.deliveries import DeliveryStatus
from noteflow_hooks.domain.filters import NO_TROUBLE, FilterTrouble
from noteflow_hooks.domain.health.state import EndpointHealth, after_change
from noteflow_hooks.domain.paging import ALL_WEBHOOKS, DEFAULT_PAGE_SIZE
from noteflow_hooks.domain.ports.repositories import WebhookRepository
from noteflow_hooks.domain.skipping import DELETED, skip_of_disabled
from noteflow_hooks.errors import NotFoundError
from noteflow_hooks.persistence.sql import health_statements
from noteflow_hooks.persistence.sql.contact_columns import contact_columns
from noteflow_hooks.persistence.sql.converters import HEALTH_FIELDS, HEALTH_PREFIX, WebhookConverter, health_to_domain
from noteflow_hooks.persistence.sql.endpoint_columns import CONFIG_COLUMNS, WITH_HEALTH
from noteflow_hooks.persistence.sql.limits import SKIPPED_AT_ONCE
from noteflow_hooks.persistence.sql.narrowed_lists import NarrowedLists
from noteflow_hooks.persistence.sql.orm import WebhookConfigRow, WebhookDeliveryRow, WebhookHealthRow, table_of
from noteflow_hooks.persistence.sql.paging import PageStatements, newest_first
from noteflow_hooks.persistence.sql.wire import Statement

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from uuid import UUID

    from noteflow_hooks.domain.deliveries import WebhookDelivery
    from noteflow_hooks.domain.paging import IdRange, Position, WebhookFilter
    from noteflow_hooks.domain.skipping import Skip
    from noteflow_hooks.domain.webhooks import WebhookConfig
    from noteflow_hooks.persistence.sql.work import Work

_VISIBLE: Final = f"SELECT {CONFIG_COLUMNS} FROM noteflow.webhook_configs WHERE deleted_at IS NULL"  # noqa: S608 - constants
_IN_WORKSPACE: Final = " AND workspace_id = :workspace_id"
_OLDEST_FIRST: Final = " ORDER BY created_at, id"
_ENABLED: Final = Statement(f"{_VISIBLE} AND enabled{_OLDEST_FIRST}", reads=True)
_OWN_ENABLED: Final = Statement(f"{_VISIBLE} AND enabled{_IN_WORKSPACE}{_OLDEST_FIRST}", reads=True)
_OWN: Final = Statement(f"{_VISIBLE}{_IN_WORKSPACE}{_OLDEST_FIRST}", reads=True)
_PAGES: Final = PageStatements(
    _VISIBLE + _IN_WORKSPACE,
    counted=f"FROM noteflow.webhook_configs WHERE deleted_at IS NULL{_IN_WORKSPACE}",
)
#: The host of an endpoint's URL; nothing else of it is ever looked at for a text, since the rest may be a credential.
# rule of domain.urls.host_of
_AUTHORITY: Final = "split_part(split_part(config.url, '/', 3), '?', 1)"
_HOST: Final = f"""
CASE WHEN {_AUTHORITY} LIKE '[%' THEN split_part(substr({_AUTHORITY}, 2), ']', 1) ELSE split_part({_AUTHORITY}, ':', 1)
END
"""
# rule of domain.health.endpoint_state.state_of
STATE: Final = """
CASE WHEN NOT config.enabled THEN 'disabled'
    WHEN config.paused_at IS NOT NULL THEN 'paused'
    WHEN health.open_until IS NOT NULL THEN 'circuit_open'
    WHEN health.failures > 0 THEN 'failing'
    WHEN health.ramp IS NOT NULL THEN 'recovering'
    WHEN health.slow_since IS NOT NULL THEN 'slow'
    ELSE 'healthy' END
"""
# Health's columns have other names than those that a page is narrowed and ordered by.
# rule of domain.matching.is_in_state
_LISTS: Final = NarrowedLists(
    WITH_HEALTH,
    "noteflow.webhook_configs AS config LEFT JOIN noteflow.webhook_health AS health ON health.webhook_id = config.id",
    own={
        "state": f"({STATE}) = :state",
        "text": f"(strpos(lower(config.name), lower(:text)) > 0 OR strpos(({_HOST}), lower(:text)) > 0)",
    },
    always="deleted_at IS NULL",
)
#: By whether the row is locked, and whether deleted ones are found, too.
_BY_ID: Final = {
    (lock, with_deleted): Statement(
        f"SELECT {CONFIG_COLUMNS} FROM noteflow.webhook_configs WHERE id = :webhook_id"  # noqa: S608 - constants
        + ("" if with_deleted else " AND deleted_at IS NULL")
        + (" FOR NO KEY UPDATE" if lock else ""),
        reads=not lock,
    )
    for lock in (False, True)
    for with_deleted in (False, True)
}
_FILTER_TROUBLE: Final = Statement(
    "SELECT webhook_id, filter_errors, filter_last_error FROM noteflow.webhook_health"
    " WHERE webhook_id = ANY(CAST(:webhook_ids AS uuid[])) AND filter_errors > 0",
    reads=True,
)
_HEALTH: Final = Statement(
    f"SELECT {', '.join(HEALTH_FIELDS)} FROM noteflow.webhook_health"  # noqa: S608 - constants
    " WHERE webhook_id = ANY(CAST(:webhook_ids AS uuid[]))",
    reads=True,
)


class SqlAlchemyWebhookRepository(WebhookRepository):
    """The endpoints in PostgreSQL."""

    def __init__(self, work: Work, converter: WebhookConverter) -> None:
        """Do it in that work."""
        self._work = work
        self._converter = converter

    @override
    def get_all_enabled(self, workspace_id: UUID | None = None) -> Sequence[WebhookConfig]:
        return self._load(_ENABLED if workspace_id is None else _OWN_ENABLED, **_own(workspace_id))

    @override
    def get_all(self, workspace_id: UUID) -> Sequence[WebhookConfig]:
        return self._load(_OWN, workspace_id=workspace_id)

    @override
    def list_page(
        self, workspace_id: UUID, *, limit: int, after: Position | None = None, ids: IdRange | None = None
    ) -> Sequence[WebhookConfig]:
        statement, params = _PAGES.page(after=after, limit=limit, ids=ids, workspace_id=workspace_id)
        return self._load(statement, **params)

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
        pages, own = _LISTS.of(workspace_id, criteria)
        statement, params = pages.page(after=after, limit=limit, ids=ids, **own)
        rows = self._work.ask(statement, **params).all()
        return [(self._converter.config_to_domain(row), _health_beside(row)) for row in self._work.by_turns(rows)]

    @override
    def count(self, workspace_id: UUID, criteria: WebhookFilter = ALL_WEBHOOKS, *, ids: IdRange | None = None) -> int:
        pages, own = _LISTS.of(workspace_id, criteria)
        statement, params = pages.total(ids=ids, **own)
        total: int = self._work.ask(statement, **params).first().total
        return total

    @override
    def get_by_id(self, webhook_id: UUID, *, lock: bool = False, with_deleted: bool = False) -> WebhookConfig | None:
        found = self._load(_BY_ID[lock, with_deleted], webhook_id=webhook_id)
        return found[0] if found else None

    @override
    def create(self, config: WebhookConfig) -> WebhookConfig:
        columns = self._converter.config_to_orm_kwargs(config)
        row = self._work.session.scalars(insert(WebhookConfigRow).values(columns).returning(WebhookConfigRow)).one()
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
        row = self._work.session.scalars(statement).one_or_none()
        if row is None or before is None:
            raise NotFoundError(f"webhook_id: no webhook {config.id} in this workspace")
        after = self._converter.config_to_domain(row)
        if before.enabled and not after.enabled:
            self._skip_waiting(after.id, skip_of_disabled(after))
        self._change_health(before, after)
        return after

    @override
    def delete(self, webhook_id: UUID) -> bool:
        marked = self._work.session.execute(
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
                signing_keys=None,
                url_ciphertext=None,
                client_certificate=None,
                client_key=None,
                server_ca=None,
                certificate_info=None,
                certificate_warn_at=None,
                pending_url=None,
                challenge=None,
                challenge_event_id=None,
                challenge_expires_at=None,
                **contact_columns(None),
            )
            .returning(WebhookConfigRow.id)
        ).one_or_none()
        if marked is None:
            return False
        self._skip_waiting(webhook_id, DELETED)
        return True

    @override
    def get_health(self, webhook_ids: Iterable[UUID]) -> Mapping[UUID, EndpointHealth]:
        asked = list(webhook_ids)
        rows = self._work.ask(_HEALTH, webhook_ids=asked).all() if asked else []
        return {row.webhook_id: health_to_domain(row) for row in rows}

    @override
    def get_filter_trouble(self, webhook_ids: Iterable[UUID]) -> Mapping[UUID, FilterTrouble]:
        asked = list(webhook_ids)
        rows = self._work.ask(_FILTER_TROUBLE, webhook_ids=asked).all() if asked else []
        return {row.webhook_id: FilterTrouble(row.filter_errors, row.filter_last_error) for row in rows}

    @override
    def add_delivery(self, delivery: WebhookDelivery) -> WebhookDelivery:
        columns = self._converter.delivery_to_orm_kwargs(delivery)
        owner = select(WebhookConfigRow.workspace_id).where(WebhookConfigRow.id == delivery.webhook_id)
        if delivery.status is DeliveryStatus.SENDING:
            columns["claimed_at"] = func.now()
        table = table_of(delivery.status)
        statement = insert(table).values(**columns, workspace_id=owner.scalar_subquery())
        row = self._work.session.execute(statement.returning(*table.__table__.columns)).one()
        return self._converter.delivery_to_domain(row)

    @override
    def get_deliveries(self, webhook_id: UUID, limit: int = DEFAULT_PAGE_SIZE) -> Sequence[WebhookDelivery]:
        statement = select(WebhookDeliveryRow).where(WebhookDeliveryRow.webhook_id == webhook_id)
        rows = self._work.session.scalars(newest_first(statement, WebhookDeliveryRow, after=None, limit=limit))
        return [self._converter.delivery_to_domain(row) for row in rows]

    def _skip_waiting(self, webhook_id: UUID, skip: Skip) -> None:
        params = {"webhook_id": webhook_id, **skip._asdict(), "limit": SKIPPED_AT_ONCE}
        skipped = self._work.session.execute(health_statements.SKIP_WAITING, params)
        if len(skipped.all()) == SKIPPED_AT_ONCE:
            # Its scheduling slots skip the rest, without a POST.
            statement = update(WebhookHealthRow).where(WebhookHealthRow.webhook_id == webhook_id)
            self._work.session.execute(statement.values(turn_at=func.now()))

    def _change_health(self, before: WebhookConfig, after: WebhookConfig) -> None:
        statement = select(WebhookHealthRow).where(WebhookHealthRow.webhook_id == after.id)
        statement = statement.with_for_update(key_share=True).execution_options(populate_existing=True)
        row = self._work.session.scalars(statement).one_or_none()
        if row is None:
            return
        now = self._work.session.scalars(select(func.now())).one()
        health = health_to_domain(row)
        changed = after_change(health, before, after, now=now)
        if before.options.filter != after.options.filter:
            row.filter_errors, row.filter_last_error = NO_TROUBLE.errors, NO_TROUBLE.last_error
        if changed != health:
            for name in HEALTH_FIELDS:
                setattr(row, name, getattr(changed, name))
        self._work.session.flush()

    def _load(self, statement: Statement, **params: Any) -> list[WebhookConfig]:  # noqa: ANN401 - whatever it takes
        rows = self._work.ask(statement, **params).all()
        return [self._converter.config_to_domain(row) for row in self._work.by_turns(rows)]


def _health_beside(row: Any) -> EndpointHealth:  # noqa: ANN401 - a row of whatever columns
    is_there = getattr(row, f"{HEALTH_PREFIX}webhook_id") is not None
    return health_to_domain(row, prefix=HEALTH_PREFIX) if is_there else EndpointHealth(row.id)


def _own(workspace_id: UUID | None) -> dict[str, UUID]:
    return {} if workspace_id is None else {"workspace_id": workspace_id}
