"""Servers that tests share: the real PostgreSQL and the real Valkey, started once a run, in a folder of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from noteflow_hooks import bootstrap
from noteflow_hooks.concurrency.outage import DATABASE, REDIS
from noteflow_hooks.local.servers import EmbeddedPostgres, EmbeddedValkey
from noteflow_hooks.settings import Settings
from tests.support.emptying import Emptier
from tests.support.kept_system import KeptSystem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.system_rig import SystemRig


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


@pytest.fixture(scope="session")
def emptier(database_url: str) -> Iterator[Emptier]:
    """What empties the migrated database, by a connection that stays: a new one knows of no table yet."""
    made = Emptier(database_url)
    yield made
    made.close()


@pytest.fixture
def clean_database(database_url: str, emptier: Emptier) -> str:
    """The migrated database, emptied."""
    emptier()
    return database_url


@pytest.fixture(scope="session")
def kept_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeptSystem]:
    """A whole system, started once; use ``system``."""
    with KeptSystem(tmp_path_factory.mktemp("system"), preset_hosts="127.0.0.1") as running:
        yield running


@pytest.fixture(scope="module")
def system(kept_system: KeptSystem) -> Iterator[SystemRig]:
    """Offer a whole system, as it is without settings of a test's own; between its files it is frozen."""
    kept_system.resume()
    yield kept_system
    kept_system.rest()


@pytest.fixture
def rig(system: SystemRig) -> Iterator[SystemRig]:
    """Offer it to a new workspace, which leaves no endpoint behind."""
    with system.as_new_tenant() as tenant:
        yield tenant
        tenant.remove_webhooks()


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Valkey server."""
    with EmbeddedValkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server.url
