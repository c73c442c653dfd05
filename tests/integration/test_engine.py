"""Connections to PostgreSQL: what a lost one looks like, and that a new one is found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from noteflow_hooks.embedded import EmbeddedPostgres
from noteflow_hooks.errors import InvalidInputError, UnavailableError
from noteflow_hooks.persistence.engine import create_engine

if TYPE_CHECKING:
    from pathlib import Path


def test_a_server_that_restarts_is_found_again(tmp_path: Path) -> None:
    """While it is away the error is ours and says to try again; after it nothing need be done."""
    with EmbeddedPostgres(tmp_path) as server:
        engine = create_engine(server.url)
        with engine.begin() as connection:
            connection.execute(text("SELECT 1"))
        server.stop()
        with pytest.raises(UnavailableError, match="try again"), engine.begin() as connection:
            connection.execute(text("SELECT 1"))
        server.start()
        with engine.begin() as connection:
            assert connection.scalar(text("SELECT 1")) == 1
        engine.dispose()


def test_a_connection_that_died_while_idle_is_replaced(tmp_path: Path) -> None:
    """The first statement after a restart works, though nobody saw the old connection die."""
    with EmbeddedPostgres(tmp_path) as server:
        engine = create_engine(server.url)
        with engine.begin() as connection:
            connection.execute(text("SELECT 1"))
        server.stop()
        server.start()
        with engine.begin() as connection:
            assert connection.scalar(text("SELECT 1")) == 1
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


@pytest.mark.parametrize("url", ["mysql://u:canary@h/x", "not a url", "", "postgresql://u:canary@h:port/x"])
def test_another_databases_url_is_refused_without_being_repeated(url: str) -> None:
    """One line that names the setting and what it may hold."""
    with pytest.raises(InvalidInputError, match="DATABASE_URL: must be a URL such as") as caught:
        create_engine(url)
    assert "canary" not in str(caught.value)
