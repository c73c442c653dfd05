"""The two stores that the suite runs over: every test here gets each of them, empty."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from noteflow_hooks.crypto import SecretBox
from noteflow_hooks.persistence.delivery_store import SqlAlchemyDeliveryStore
from noteflow_hooks.persistence.engine import create_engine
from noteflow_hooks.persistence.memory import InMemoryDeliveryStore, InMemoryUnitOfWork, MemoryStore
from noteflow_hooks.persistence.unit_of_work import SqlAlchemyUnitOfWork
from tests.conformance.world import World

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
def memory_world() -> World:
    """Make a store in memory."""
    store = MemoryStore()
    return World(partial(InMemoryUnitOfWork, store), InMemoryDeliveryStore(store))


@pytest.fixture(scope="session")
def engine(database_url: str) -> Iterator[Engine]:
    """Keep one pool for the whole run, of more connections than any test has threads."""
    engine = create_engine(database_url, connections=24)
    yield engine
    engine.dispose()


@pytest.fixture
def postgres_world(engine: Engine, clean_database: str) -> World:  # noqa: ARG001 - emptied is all it has to be
    """Offer the database, emptied."""
    return World(partial(SqlAlchemyUnitOfWork, engine, _BOX), SqlAlchemyDeliveryStore(engine, _BOX))
