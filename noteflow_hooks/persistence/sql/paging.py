"""A page of a table, newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, TypeVarTuple

from sqlalchemy import tuple_

from noteflow_hooks.persistence.sql.orm import (
    MeetingRow,
    WebhookConfigRow,
    WebhookDeliveryRow,
    WebhookEventRow,
    WebhookReplayRow,
)

if TYPE_CHECKING:
    from sqlalchemy import Select

    from noteflow_hooks.domain.paging import Position

Columns = TypeVarTuple("Columns")
#: The tables that are listed page by page: each has ``created_at`` and ``id``.
Listed: TypeAlias = MeetingRow | WebhookConfigRow | WebhookDeliveryRow | WebhookEventRow | WebhookReplayRow


def newest_first(
    statement: Select[*Columns], table: type[Listed], *, after: Position | None, limit: int
) -> Select[*Columns]:
    """Return the statement for one page of the table's rows, of those behind ``after``."""
    if after is not None:
        statement = statement.where(tuple_(table.created_at, table.id) < (after.created_at, after.id))
    return statement.order_by(table.created_at.desc(), table.id.desc()).limit(limit)
