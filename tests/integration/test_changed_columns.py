"""A migration changes a column beside servers and workers: what they have prepared is prepared anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from sqlalchemy import text

from noteflow_hooks.errors import UnavailableError
from noteflow_hooks.persistence.sql.delivery.direct import BrokenConnectionError, DirectStatement, DirectStatements
from noteflow_hooks.persistence.sql.engine import create_engine
from noteflow_hooks.persistence.sql.wire import Statement
from noteflow_hooks.persistence.sql.work import Work

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Engine

SQL: Final = "SELECT name FROM changed_columns"
READ: Final = Statement(SQL, reads=True)
LOCK: Final = Statement(f"{SQL} FOR UPDATE")
DIRECT: Final = DirectStatement.of(text(SQL))


@pytest.fixture
def admin(database_url: str) -> Iterator[Engine]:
    """Offer an engine of somebody else's, and a table."""
    made = create_engine(database_url, connections=1)
    with made.begin() as connection:
        connection.execute(text("CREATE TABLE changed_columns AS SELECT CAST('a name' AS varchar(50)) AS name"))
    yield made
    with made.begin() as connection:
        connection.execute(text("DROP TABLE changed_columns"))
    made.dispose()


def change(admin: Engine) -> None:
    """Change the column's type."""
    with admin.begin() as connection:
        connection.execute(text("ALTER TABLE changed_columns ALTER COLUMN name TYPE text"))


def read(engine: Engine, *statements: Statement) -> list[str]:
    work = Work(engine)
    try:
        return [work.ask(each).first().name for each in statements]
    finally:
        work.close()


@pytest.mark.parametrize("statement", [READ, LOCK], ids=["reads", "locks"])
def test_a_servers_unit_is_done_all_the_same_where_that_is_its_first_statement(
    database_url: str, admin: Engine, statement: Statement
) -> None:
    """On another connection: PostgreSQL refuses what it has planned for other columns, each time that it is run."""
    engine = create_engine(database_url, connections=2)
    assert read(engine, statement) == ["a name"]
    change(admin)
    assert read(engine, statement) == ["a name"]
    engine.dispose()


def test_a_servers_unit_that_has_begun_can_be_tried_again(database_url: str, admin: Engine) -> None:
    """It was not done: the same unit is UNAVAILABLE once."""
    engine = create_engine(database_url, connections=2)
    beside = Statement("SELECT 'beside' AS name FROM pg_advisory_xact_lock(1)")
    assert read(engine, beside, LOCK) == ["beside", "a name"]
    change(admin)
    with pytest.raises(UnavailableError):
        read(engine, beside, LOCK)
    assert read(engine, beside, LOCK) == ["beside", "a name"]
    engine.dispose()


def test_a_workers_statement_can_be_tried_again(database_url: str, admin: Engine) -> None:
    """Its kept connection is given up, as a broken one is."""
    engine = create_engine(database_url, connections=3, is_busy=True)
    direct = DirectStatements(engine)
    assert direct.rows(DIRECT, {}) == [("a name",)]
    change(admin)
    with pytest.raises(BrokenConnectionError):
        direct.rows(DIRECT, {})
    assert direct.rows(DIRECT, {}) == [("a name",)]
    engine.dispose()
