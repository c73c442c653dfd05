"""Statements as the server takes them."""

from __future__ import annotations

from sqlalchemy import text

from noteflow_hooks.persistence.sql.delivery.direct import DirectStatement


def test_parameters_are_numbered_in_the_order_in_which_they_first_come() -> None:
    """One that comes twice has one number, and a cast is none."""
    statement = DirectStatement.of(text("SELECT CAST(:ids AS uuid[]), :limit, a::text WHERE b = :limit AND c = :ids"))
    assert statement.sql == "SELECT CAST($1 AS uuid[]), $2, a::text WHERE b = $2 AND c = $1"
    assert statement.names == ("ids", "limit")
