"""The worlds that tests here share: a server with webhooks, over an empty store in memory or over PostgreSQL."""
# ruff: noqa: S608 - the statement is put together from this file's own texts

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from noteflow_hooks.crypto import SecretBox
from noteflow_hooks.persistence.sql.engine import create_engine
from noteflow_hooks.persistence.sql.unit_of_work import SqlAlchemyUnitOfWork
from noteflow_hooks.rpc.interceptors import tokens
from tests.integration.rpc.world import UNLIMITED, World
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def world() -> Iterator[World]:
    """Offer a running server."""
    with World() as running:
        yield running


@pytest.fixture
def known_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a token that was looked up once count for the whole test: then calls are looked at in their order."""
    monkeypatch.setattr(tokens, "TOKEN_TTL_S", 3600.0)


@pytest.fixture(scope="module")
def stored_world(database_url: str) -> Iterator[World]:
    """Offer a server over PostgreSQL, with a workspace that a file's tests share."""
    engine = create_engine(database_url, connections=4, wait_s=PATIENCE_S)
    with World(over=partial(SqlAlchemyUnitOfWork, engine, SecretBox([bytes(32)])), limits=UNLIMITED) as running:
        yield running
    engine.dispose()


@pytest.fixture
def unchanged(stored_world: World, database_url: str) -> Iterator[None]:
    """Expect the test to store nothing."""
    with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as connection:
        before = _count(connection, stored_world)
        yield
        assert _count(connection, stored_world) == before


def _count(connection: psycopg.Connection, world: World) -> list[Any]:
    """Return how many rows the workspace has, and when the last of its endpoints was changed."""
    tables = ("webhook_configs", "webhook_events", "meetings", "webhook_replays")
    counts = ", ".join(f"(SELECT count(*) FROM noteflow.{each} WHERE workspace_id = %(id)s)" for each in tables)
    changed = "(SELECT max(updated_at) FROM noteflow.webhook_configs WHERE workspace_id = %(id)s)"
    return connection.execute(f"SELECT {counts}, {changed}", {"id": world.workspace_id}).fetchall()
