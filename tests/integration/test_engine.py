"""Connections to PostgreSQL: what a lost one looks like, and that a new one is found."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from noteflow_hooks.errors import SettingsError, UnavailableError
from noteflow_hooks.local.servers import EmbeddedPostgres
from noteflow_hooks.persistence.sql.delivery.direct import DirectStatement, DirectStatements
from noteflow_hooks.persistence.sql.engine import create_engine
from tests.support.clusters import put_cluster

if TYPE_CHECKING:
    from pathlib import Path


def test_a_server_that_restarts_is_found_again(tmp_path: Path) -> None:
    """While it is away the error is ours and says to try again; after it nothing need be done."""
    put_cluster(tmp_path)
    with EmbeddedPostgres(tmp_path) as server:
        engine = create_engine(server.url)
        with engine.begin() as connection:
            connection.execute(text("SELECT 1"))
        server.stop()
        with pytest.raises(UnavailableError, match="try again") as caught, engine.begin() as connection:
            connection.execute(text("SELECT 1"))
        assert "connection" in caught.value.detail
        assert "\n" not in caught.value.detail
        server.start()
        with engine.begin() as connection:
            assert connection.scalar(text("SELECT 1")) == 1
        engine.dispose()


def test_a_connection_that_died_while_idle_is_replaced(tmp_path: Path) -> None:
    """The first statement after a restart works, though nobody saw the old connection die."""
    put_cluster(tmp_path)
    with EmbeddedPostgres(tmp_path) as server:
        engine = create_engine(server.url)
        with engine.begin() as connection:
            connection.execute(text("SELECT 1"))
        server.stop()
        server.start()
        with engine.begin() as connection:
            assert connection.scalar(text("SELECT 1")) == 1
        engine.dispose()


def test_all_connections_that_died_in_use_are_replaced_by_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy worker's is not asked whether it lives; the first error speaks for all of them."""
    # However long the server takes to come back.
    monkeypatch.setattr("noteflow_hooks.persistence.sql.engine.TRUSTED_S", 3600.0)
    put_cluster(tmp_path)
    with EmbeddedPostgres(tmp_path) as server:
        engine = create_engine(server.url, is_busy=True)
        with engine.begin() as first, engine.begin() as second:
            assert first.scalar(text("SELECT 1")) == second.scalar(text("SELECT 1"))
        server.stop()
        server.start()
        with pytest.raises(UnavailableError), engine.begin() as connection:
            connection.execute(text("SELECT 1"))
        with engine.begin() as first, engine.begin() as second:
            assert first.scalar(text("SELECT 1")) == second.scalar(text("SELECT 1"))
        engine.dispose()


def test_a_statement_that_takes_too_long_is_ended(database_url: str) -> None:
    """The server's own limit ends it, and it may be tried again."""
    engine = create_engine(database_url)
    with engine.connect() as connection:
        connection.execute(text("SET statement_timeout = 50"))
        with pytest.raises(UnavailableError, match="QueryCanceled"):
            connection.execute(text("SELECT pg_sleep(60)"))
        connection.invalidate()
    engine.dispose()


def test_waiting_in_vain_for_a_connection_is_unavailable_too(database_url: str) -> None:
    """A pool that is used up looks like any other absence of the database, not like a fault of ours."""
    engine = create_engine(database_url, connections=1, wait_s=0.05)
    with engine.connect(), pytest.raises(UnavailableError, match="no connection free"):
        engine.connect()
    engine.dispose()


def test_an_error_shows_neither_parameters_nor_rows(database_url: str) -> None:
    """Where a constraint refuses a row, the log has the constraint's name and nothing of the row."""
    engine, canary = create_engine(database_url), uuid4().hex
    columns = "(workspace_id, url, timeout_ms) VALUES (gen_random_uuid(), :url, 1)"
    statement = text(f"INSERT INTO noteflow.webhook_configs {columns}")
    with pytest.raises(IntegrityError) as caught, engine.begin() as connection:
        connection.execute(statement, {"url": f"https://host.example/{canary}"})
    engine.dispose()
    shown = "".join(traceback.format_exception(caught.value))
    assert "ck_webhook_configs_timeout_ms" in shown
    assert canary not in shown


@pytest.mark.parametrize(
    "url",
    ["mysql://u:canary@h/x", "not a url", "", "postgresql://u:canary@h:port/x", "postgresql://u:canary@h/x?bogus=1"],
)
def test_another_databases_url_is_refused_without_being_repeated(url: str) -> None:
    """One line that names the setting and what it may hold."""
    with pytest.raises(SettingsError, match="NOTEFLOW_HOOKS_DATABASE_URL must hold a URL such as") as caught:
        create_engine(url)
    assert "canary" not in str(caught.value)


def test_a_direct_statement_says_that_the_server_is_away_and_finds_it_again(tmp_path: Path) -> None:
    """In whatever moment it goes: in mid-use, and while a connection is being made."""
    statement = DirectStatement.of(text("SELECT CAST(:number AS integer) + 1"))
    put_cluster(tmp_path)
    with EmbeddedPostgres(tmp_path) as server:
        engine = create_engine(server.url)
        direct = DirectStatements(engine)
        assert direct.rows(statement, {"number": 1}) == [(2,)]
        server.stop()
        for _ in range(3):
            with pytest.raises(UnavailableError, match="try again"):
                direct.rows(statement, {"number": 1})
        server.start()
        assert direct.rows(statement, {"number": 1}) == [(2,)]
        engine.dispose()


def test_a_direct_statement_that_is_refused_shows_no_row_and_leaves_its_connection_usable(database_url: str) -> None:
    """What PostgreSQL refuses is told by its first line; the same connection serves the next one, and SQLAlchemy."""
    engine = create_engine(database_url, connections=1)
    direct = DirectStatements(engine)
    refused = DirectStatement.of(text("INSERT INTO noteflow.webhook_configs (workspace_id, url) VALUES (NULL, :url)"))
    with pytest.raises(psycopg.errors.NotNullViolation) as caught:
        direct.rows(refused, {"url": "https://example.com/private"})
    assert "private" not in str(caught.value)
    assert direct.rows(DirectStatement.of(text("SELECT 1")), {}) == [(1,)]
    with engine.connect() as connection:
        connection.execute(text("CREATE TEMPORARY TABLE undone (id integer)"))
        connection.rollback()
        assert connection.scalar(text("SELECT to_regclass('undone')")) is None
    engine.dispose()
