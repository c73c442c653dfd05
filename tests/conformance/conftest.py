"""The two stores that the suite runs over: every test here gets each of them, empty."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from noteflow_hooks.crypto import SecretBox
from noteflow_hooks.persistence.memory import (
    InMemoryBreakerLog,
    InMemoryCertificateWatch,
    InMemoryDeliveryStore,
    InMemoryMailStore,
    InMemoryRetentionStore,
    InMemoryStatsKeeper,
    InMemoryUnitOfWork,
    MemoryStore,
)
from noteflow_hooks.persistence.sql.converters import WebhookConverter
from noteflow_hooks.persistence.sql.delivery.restart_patience import MET
from noteflow_hooks.persistence.sql.delivery.store import SqlAlchemyDeliveryStore
from noteflow_hooks.persistence.sql.engine import create_engine
from noteflow_hooks.persistence.sql.maintenance.breaker_log import SqlAlchemyBreakerLog
from noteflow_hooks.persistence.sql.maintenance.certificate_watch import SqlAlchemyCertificateWatch
from noteflow_hooks.persistence.sql.maintenance.mail_store import SqlAlchemyMailStore
from noteflow_hooks.persistence.sql.maintenance.retention import SqlAlchemyRetentionStore
from noteflow_hooks.persistence.sql.maintenance.rollups import SqlAlchemyStatsKeeper
from noteflow_hooks.persistence.sql.unit_of_work import SqlAlchemyUnitOfWork
from tests.conformance.model.throttling import MINUTE
from tests.conformance.model.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Engine

_BOX = SecretBox([bytes(32)])


@pytest.fixture(params=["memory", "postgres"])
def world(request: pytest.FixtureRequest) -> World:
    """Offer an empty store, which a fixture named after the parameter makes."""
    made: World = request.getfixturevalue(f"{request.param}_world")
    return made


@pytest.fixture
def breaking(world: World) -> World:
    """Offer a store in which three failures in a row open a breaker, for a minute at first and for three at most."""
    return world.under(breaker_failures=3, breaker_open=MINUTE, breaker_open_max=3 * MINUTE)


@pytest.fixture
def memory_world() -> World:
    """Make a store in memory."""
    later = timedelta(0)

    def clock() -> datetime:
        return datetime.now(UTC) + later

    def age(by: timedelta) -> None:
        nonlocal later
        later += by

    store = MemoryStore(now=clock)
    stores = partial(InMemoryDeliveryStore, store)
    retention, breakers = InMemoryRetentionStore(store), InMemoryBreakerLog(store)
    certificates = InMemoryCertificateWatch(store)
    units, keeper = partial(InMemoryUnitOfWork, store), InMemoryStatsKeeper(store)
    return World(units, stores(), stores, age, retention, breakers, certificates, keeper, InMemoryMailStore(store))


@pytest.fixture(scope="session")
def engine(database_url: str) -> Iterator[Engine]:
    """Keep one pool for the whole run, of more connections than any test has threads."""
    engine = create_engine(database_url, connections=24)
    yield engine
    engine.dispose()


@pytest.fixture
def tables(engine: Engine, clean_database: str) -> Engine:  # noqa: ARG001 - emptied is all it has to be
    """Offer the database itself, emptied."""
    return engine


@pytest.fixture
def postgres_world(engine: Engine, clean_database: str) -> World:  # noqa: ARG001 - emptied is all it has to be
    """Offer the database, emptied."""
    stores = partial(SqlAlchemyDeliveryStore, engine, _BOX)
    retention, breakers = SqlAlchemyRetentionStore(engine), SqlAlchemyBreakerLog(engine)
    units = partial(SqlAlchemyUnitOfWork, engine, _BOX)
    certificates = SqlAlchemyCertificateWatch(engine)
    mails = SqlAlchemyMailStore(engine, WebhookConverter(_BOX))
    keeper = SqlAlchemyStatsKeeper(engine)
    return World(units, stores(), stores, partial(_age, engine), retention, breakers, certificates, keeper, mails)


def _age(engine: Engine, by: timedelta) -> None:
    """Move every moment that is stored into the past, since PostgreSQL's clock can't be moved into the future."""
    with engine.begin() as connection:
        moments = connection.execute(
            text(
                "SELECT table_name, column_name FROM information_schema.columns"
                " WHERE table_schema = 'noteflow' AND data_type = 'timestamp with time zone'"
                # Its rows are among those of the table that it inherits from.
                " AND table_name <> 'delivery_queue'"
                # It is about ids, too, and these stay as they are.
                " AND table_name <> 'stats_progress'"
            )
        )
        columns: dict[str, list[str]] = {}
        for row in moments:
            columns.setdefault(row.table_name, []).append(f"{row.column_name} = {row.column_name} - :by")
        trail = columns.pop("audit_log")
        for table, changes in columns.items():
            connection.execute(text(f"UPDATE noteflow.{table} SET {', '.join(changes)}"), {"by": by})  # noqa: S608 - names out of the database's own catalogue
        # The server is the same, and began when it did.
        same = text("UPDATE noteflow.task_runs SET began_at = began_at + :by WHERE name = :name")
        connection.execute(same, {"by": by, "name": MET})
        # Its triggers refuse it, but in a session that is a replica's.
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text(f"UPDATE noteflow.audit_log SET {', '.join(trail)}"), {"by": by})  # noqa: S608 - as above
