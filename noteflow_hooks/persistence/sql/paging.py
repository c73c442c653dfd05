"""A page of a table, newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVarTuple

from sqlalchemy import func, literal, select, tuple_, union_all

from noteflow_hooks.domain.paging import MAX_TOTAL
from noteflow_hooks.persistence.sql.orm import (
    MeetingRow,
    WebhookConfigRow,
    WebhookDeliveryRow,
    WebhookEventRow,
    WebhookReplayRow,
)
from noteflow_hooks.persistence.sql.wire import Statement

if TYPE_CHECKING:
    from sqlalchemy import Select

    from noteflow_hooks.domain.paging import IdRange, Position

#: How a page's statement ends, by whether it goes on behind a row, and whether only some ids are asked for.
_AFTER: Final = " AND ({moment}, id) < (CAST(:after_at AS timestamptz), CAST(:after_id AS uuid))"
_AMONG: Final = " AND id BETWEEN CAST(:first AS uuid) AND CAST(:last AS uuid)"
_IN_ORDER: Final = " ORDER BY {moment} DESC, id DESC LIMIT CAST(:limit AS bigint)"

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


class PageStatements:
    """The statements for the pages of one list, and for how many rows all of them have."""

    def __init__(self, chosen: str, *, counted: str, moment: str = "created_at", is_kept: bool = True) -> None:
        """``chosen`` is a SELECT up to its last condition; ``counted`` the same rows' FROM and WHERE.

        ``moment`` is the column by which they are listed; ``is_kept`` as :class:`Statement` has it.
        """
        after, in_order = _AFTER.format(moment=moment), _IN_ORDER.format(moment=moment)
        self._pages = {
            (goes_on, some): Statement(
                chosen + (after if goes_on else "") + (_AMONG if some else "") + in_order, reads=True, is_kept=is_kept
            )
            for goes_on in (False, True)
            for some in (False, True)
        }
        most = "CAST(:most AS bigint)"
        total = f"SELECT least(count(*), {most}) AS total FROM (SELECT 1 {{}} LIMIT {most}) AS found"  # noqa: S608 - constants
        self._totals = {
            some: Statement(total.format(counted + (_AMONG if some else "")), reads=True, is_kept=is_kept)
            for some in (False, True)
        }

    def page(
        self, *, after: Position | None, limit: int, ids: IdRange | None, **params: object
    ) -> tuple[Statement, dict[str, object]]:
        """Return the statement for the page and what it takes; ``params`` are those of the list itself."""
        behind = {} if after is None else {"after_at": after.created_at, "after_id": after.id}
        all_params = params | behind | _range(ids) | {"limit": limit}
        return self._pages[after is not None, ids is not None], all_params

    def total(self, *, ids: IdRange | None, **params: object) -> tuple[Statement, dict[str, object]]:
        """Return the same for how many rows there are, which are counted no further than lists are."""
        return self._totals[ids is not None], params | _range(ids) | {"most": MAX_TOTAL}


def _range(ids: IdRange | None) -> dict[str, object]:
    return {} if ids is None else {"first": ids.first, "last": ids.last}


def among(statement: Select[*Columns], table: type[Listed], ids: IdRange | None) -> Select[*Columns]:
    """Return the statement for those of the table's rows whose ids are among these."""
    return statement if ids is None else statement.where(table.id.between(ids.first, ids.last))


def counted(*statements: Select[Any]) -> Select[int]:
    """Return the statement that counts what these find together, and no further than lists are counted."""
    found = union_all(*(each.with_only_columns(literal(1)).order_by(None).limit(MAX_TOTAL) for each in statements))
    return select(func.least(func.count(), MAX_TOTAL)).select_from(found.subquery())
