"""The world of these tests over a real PostgreSQL, and what is in that."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg import sql

from noteflow_hooks.crypto import SecretBox
from noteflow_hooks.persistence.sql.engine import create_engine
from noteflow_hooks.persistence.sql.intake import SqlEventIntake
from noteflow_hooks.persistence.sql.unit_of_work import SqlAlchemyUnitOfWork
from noteflow_hooks.rpc.runtime.greenlets import LoopWaits
from tests.integration.rpc.world import World
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

BOX: Final = SecretBox([bytes(32)])
#: What changes by itself while nobody does anything, and what tells of calls alone.
_ASIDE: Final = ("alembic_version", "api_tokens")


@contextmanager
def world_over(url: str, *, is_pooled: bool = False, **options: Any) -> Iterator[World]:  # noqa: ANN401 - ServerOptions' own
    """Offer a server over that database."""
    engine = create_engine(url, connections=4, wait_s=PATIENCE_S, is_pooled=is_pooled, waits=LoopWaits())
    units = partial(SqlAlchemyUnitOfWork, engine, BOX)
    try:
        with World(over=units, store_events=SqlEventIntake(engine).store, **{"in_loop": True, **options}) as running:
            yield running
    finally:
        engine.dispose()


@contextmanager
def connected(url: str) -> Iterator[psycopg.Connection]:
    """Offer a connection of one's own, outside any transaction."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        yield connection


def all_rows(url: str) -> dict[str, list[str]]:
    """Return every row of every table but those of tokens, as text."""
    with connected(url) as connection:
        found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'noteflow'").fetchall()
        tables = sorted(name for (name,) in found if name not in _ASIDE)
        return {name: [row for (row,) in connection.execute(_rows_of(name)).fetchall()] for name in tables}


def _rows_of(table: str) -> sql.Composed:
    return sql.SQL("SELECT each::text FROM {} AS each ORDER BY 1").format(sql.Identifier("noteflow", table))
