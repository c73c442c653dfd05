"""Servers that tests share: the real PostgreSQL and the real Valkey, started once a run, in a folder of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from noteflow_hooks import bootstrap
from noteflow_hooks.concurrency.outage import DATABASE, REDIS
from noteflow_hooks.local.servers import EmbeddedPostgres, EmbeddedValkey
from noteflow_hooks.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

_TABLES = (
    "workspaces, api_tokens, meetings, recordings, segments, summaries, webhook_configs, webhook_events, task_runs,"
    " webhook_deliveries, webhook_attempts, webhook_redeliveries, breaker_tallies, header_forms, stats_minutes,"
    " stats_hours, stats_totals, stats_endpoints, stats_resent, stats_progress"
)


@pytest.fixture(autouse=True)
def no_outage() -> None:
    """No test goes on with the outage of another one's server: of each, a process tells once."""
    for each in (DATABASE, REDIS):
        each.since = None


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL server; without fsync, since no test pulls its plug."""
    folder = tmp_path_factory.mktemp("postgres")
    with EmbeddedPostgres(folder, settings={"fsync": "off", "full_page_writes": "off"}) as server:
        yield server


@pytest.fixture(scope="session")
def database_url(postgres: EmbeddedPostgres) -> str:
    """A migrated database. It is shared: use ``clean_database`` where other tests' rows would be in the way."""
    bootstrap.migrate(Settings(_env_file=None, database_url=postgres.url))
    return postgres.url


@pytest.fixture
def clean_database(database_url: str) -> str:
    """The migrated database, emptied."""
    with psycopg.connect(database_url.replace("+psycopg", "")) as connection:
        names = ", ".join(f"noteflow.{name.strip()}" for name in _TABLES.split(","))
        connection.execute(f"TRUNCATE {names} CASCADE")
        # Its triggers refuse it, but in a session that is a replica's.
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute("TRUNCATE noteflow.audit_log")
    return database_url


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Valkey server."""
    with EmbeddedValkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server.url
