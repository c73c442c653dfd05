"""What the workers' statements return is named as the types that it is read into."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from noteflow_hooks.persistence.sql.delivery import claim_statements, dispatch_statements, settle_statements
from noteflow_hooks.persistence.sql.delivery.rows import (
    ClaimReport,
    ClaimRow,
    DispatchReport,
    FloodedReport,
    SettledRow,
)
from noteflow_hooks.persistence.sql.engine import create_engine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, TextClause

PARAMS = {
    "ids": [],
    "webhook_ids": [],
    "counts": [],
    "rows": "[]",
    "erased": "",
    "others": 1,
    "events": 1,
    "limit": 1,
    "burst": 1,
    "claim": 1,
    "disabled": "",
    "gone": "",
    "slack_s": 1,
    "concurrency": 1,
    "endpoints": 1,
    "poll_s": 1,
}


@pytest.fixture
def connection(clean_database: str) -> Iterator[Connection]:
    """Offer a transaction that is rolled back."""
    engine = create_engine(clean_database)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@pytest.mark.parametrize(
    ("statement", "rows"),
    [
        (dispatch_statements.DISPATCH.usual, (DispatchReport,)),
        (dispatch_statements.DISPATCH_AND_CLAIM.usual, (ClaimRow, DispatchReport)),
        (claim_statements.CLAIM, (ClaimRow, ClaimReport)),
        (claim_statements.CLAIM_THROTTLED, (ClaimRow,)),
        (claim_statements.CLAIM_FLOODED, (ClaimRow, FloodedReport)),
        (settle_statements.SETTLE.usual, (SettledRow,)),
    ],
    ids=["dispatch", "dispatch-and-claim", "claim", "claim-throttled", "claim-flooded", "settle"],
)
def test_a_statement_returns_the_fields_of_its_rows(
    connection: Connection, statement: TextClause, rows: tuple[Any, ...]
) -> None:
    """In that order: a claim is made of the first ones, and its report of the rest."""
    assert list(connection.execute(statement, PARAMS).keys()) == [name for each in rows for name in each._fields]
