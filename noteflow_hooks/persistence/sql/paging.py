"""A page of a table, newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, TypeVarTuple

from sqlalchemy import func, literal, select, tuple_, union_all

from noteflow_hooks.domain.paging import MAX_TOTAL
from noteflow_hooks.persistence.sql.orm import (
    MeetingRow,
    WebhookConfigRow,
    WebhookDeliveryRow,
    WebhookEventRow,
    WebhookReplayRow,
)

if TYPE_CHECKING:
    from sqlalchemy import Select

    from noteflow_hooks.domain.paging import IdRange, Position

Columns = TypeVarTuple("Columns")
#: The tables that are listed page by page: each has ``created_at`` and ``id``.
Listed: TypeAlias = MeetingRow | WebhookConfigRow | WebhookDeliveryRow | WebhookEventRow | WebhookReplayRow


def newest_first(
    statement: Select[*Columns], table: type[Listed], *, after: Position | None, limit: int, ids: IdRange | None = None
) -> Select[*Columns]:
    """Return the statement for one page of the table's rows, of those behind ``after`` and among ``ids``."""
    statement = among(statement, table, ids)
    if after is not None:
        statement = statement.where(tuple_(table.created_at, table.id) < (after.created_at, after.id))
    return statement.order_by(table.created_at.desc(), table.id.desc()).limit(limit)


def among(statement: Select[*Columns], table: type[Listed], ids: IdRange | None) -> Select[*Columns]:
    """Return the statement for those of the table's rows whose ids are among these."""
    return statement if ids is None else statement.where(table.id.between(ids.first, ids.last))


def counted(*statements: Select[Any]) -> Select[int]:
    """Return the statement that counts what these find together, and no further than lists are counted."""
    found = union_all(*(each.with_only_columns(literal(1)).order_by(None).limit(MAX_TOTAL) for each in statements))
    return select(func.least(func.count(), MAX_TOTAL)).select_from(found.subquery())
