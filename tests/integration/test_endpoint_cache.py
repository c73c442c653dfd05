"""Endpoints are read once for as long as they are the same, and never used as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from noteflow_hooks.crypto import SecretBox
from noteflow_hooks.persistence.sql.converters import WebhookConverter
from noteflow_hooks.persistence.sql.delivery.endpoint_cache import VERSION, EndpointCache
from noteflow_hooks.persistence.sql.engine import create_engine
from noteflow_hooks.persistence.sql.unit_of_work import SqlAlchemyUnitOfWork
from tests.support.builders import a_webhook, a_workspace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Engine

    from noteflow_hooks.domain.webhooks import WebhookConfig

BOX = SecretBox([bytes(32)])


class Watched(WebhookConverter):
    """Counts what is read."""

    def __init__(self) -> None:
        super().__init__(BOX)
        self.read: list[UUID] = []

    def config_to_domain(self, row: Any) -> WebhookConfig:  # noqa: ANN401 - any row will do here
        config = super().config_to_domain(row)
        self.read.append(config.id)
        return config


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    made = create_engine(database_url)
    yield made
    made.dispose()


def stored(engine: Engine, count: int = 1, *, length: int = 0) -> list[UUID]:
    """Store so many endpoints, with a header whose value has that length if any, and return their ids."""
    headers = (("X-Key", "k" * length),) if length else ()
    with SqlAlchemyUnitOfWork(engine, BOX) as unit:
        workspace = a_workspace()
        unit.access.create_workspace(workspace)
        ids = [unit.webhooks.create(a_webhook(workspace_id=workspace.id, headers=headers)).id for _ in range(count)]
        unit.commit()
    return ids


def versions(engine: Engine, ids: list[UUID]) -> dict[UUID, str]:
    """Return the versions of these endpoints' rows."""
    with engine.connect() as connection:
        statement = text(f"SELECT id, {VERSION} AS version FROM noteflow.webhook_configs WHERE id = ANY(:ids)")  # noqa: S608 - our own constant
        return {row.id: row.version for row in connection.execute(statement, {"ids": ids})}


def change(engine: Engine, statement: str) -> None:
    """Change rows as any other process would."""
    with engine.begin() as connection:
        connection.execute(text(statement))


def test_an_endpoint_is_read_once_while_it_is_the_same(engine: Engine) -> None:
    """Neither a look nor another row's change makes it another version."""
    converter = Watched()
    cache = EndpointCache(engine, converter)
    first, second = stored(engine, 2)
    for _ in range(3):
        assert cache.read(versions(engine, [first]))[first].id == first
        change(engine, f"UPDATE noteflow.webhook_configs SET name = name || 'x' WHERE id = '{second}'")  # noqa: S608 - an id
    assert converter.read == [first]


@pytest.mark.parametrize("change_it", ["url = 'https://changed.example/'", "secret = NULL", "enabled = false"])
def test_a_changed_endpoint_is_read_anew(engine: Engine, change_it: str) -> None:
    """Whatever has changed, and whoever changed it."""
    cache = EndpointCache(engine, Watched())
    [webhook_id] = stored(engine)
    before = cache.read(versions(engine, [webhook_id]))[webhook_id]
    change(engine, f"UPDATE noteflow.webhook_configs SET {change_it} WHERE id = '{webhook_id}'")  # noqa: S608 - our own
    after = cache.read(versions(engine, [webhook_id]))[webhook_id]
    assert after != before
    with SqlAlchemyUnitOfWork(engine, BOX) as unit:
        assert unit.webhooks.get_by_id(webhook_id) == after


def test_the_longest_kept_make_room(engine: Engine) -> None:
    """More endpoints than are kept are all returned, and cost a reading each."""
    converter = Watched()
    cache = EndpointCache(engine, converter, limit_bytes=7_500)
    ids = stored(engine, 3)
    assert cache.read(versions(engine, ids)).keys() == set(ids)
    kept = converter.read[1:]
    converter.read.clear()
    cache.read(versions(engine, kept))
    assert converter.read == []
    assert cache.read(versions(engine, ids)).keys() == set(ids)
    assert len(converter.read) == 1


def test_an_endpoint_that_is_gone_is_left_out(engine: Engine) -> None:
    """Its deliveries have gone with it."""
    cache = EndpointCache(engine, Watched())
    assert cache.read({uuid4(): "1 (0,1)"}) == {}


def test_what_an_endpoint_takes_counts(engine: Engine) -> None:
    """One with long headers makes room for itself, and none is kept that alone takes more than all may."""
    converter = Watched()
    cache = EndpointCache(engine, converter, limit_bytes=20_000)
    small, large, huge = stored(engine), stored(engine, length=5_000), stored(engine, length=20_000)
    for ids in (small, small, large, large, small, huge, huge):
        assert cache.read(versions(engine, ids)).keys() == set(ids)
    assert converter.read == [*small, *large, *small, *huge, *huge]


def test_a_version_is_one_value(engine: Engine) -> None:
    """Whoever keeps something beside it finds it again, and never beside another version."""
    cache = EndpointCache(engine, Watched())
    [webhook_id] = stored(engine)
    first = cache.read(versions(engine, [webhook_id]))[webhook_id]
    assert cache.read(versions(engine, [webhook_id]))[webhook_id] is first
    change(engine, f"UPDATE noteflow.webhook_configs SET name = name || 'x' WHERE id = '{webhook_id}'")  # noqa: S608 - an id
    second = cache.read(versions(engine, [webhook_id]))[webhook_id]
    assert second is not first
    assert cache.read(versions(engine, [webhook_id]))[webhook_id] is second
