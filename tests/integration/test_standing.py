"""What the exporter asks of the database costs the same beside many settled rows."""
# ruff: noqa: S608 - the statements are put together from this file's own texts

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import psycopg
import pytest

from noteflow_hooks.persistence.sql.engine import create_engine
from noteflow_hooks.persistence.sql.maintenance import standing
from noteflow_hooks.persistence.sql.maintenance.rollup_statements import TOTALS
from noteflow_hooks.persistence.sql.maintenance.standing import Standing

if TYPE_CHECKING:
    from collections.abc import Iterator

_MANY: Final = 20_000
_WORKSPACE: Final = "01a00000-0000-7000-8000-000000000001"
#: As many settled deliveries of events that are dispatched, none of which anything waits for.
_FILL: Final = (
    f"INSERT INTO noteflow.workspaces (id, name) VALUES ('{_WORKSPACE}', 'full')",
    f"""
    INSERT INTO noteflow.webhook_configs (id, workspace_id, url, events, name, max_retries, timeout_ms)
    VALUES ('{_WORKSPACE}', '{_WORKSPACE}', 'https://hooks.example/', '{{meeting.completed}}', 'one', 3, 1000)
    """,
    f"""
    INSERT INTO noteflow.webhook_events (id, workspace_id, event_type, payload, occurred_at, dispatched_at)
    SELECT gen_random_uuid(), '{_WORKSPACE}', 'meeting.completed', '{{}}', now(), now()
    FROM generate_series(1, {_MANY})
    """,
    f"""
    INSERT INTO noteflow.webhook_deliveries (id, workspace_id, webhook_id, event_id, event_type, status, status_code,
                                             delivered_at, attempt_count)
    SELECT gen_random_uuid(), '{_WORKSPACE}', '{_WORKSPACE}', id, event_type, 'succeeded', 200, now(), 1
    FROM noteflow.webhook_events
    """,
    "ANALYZE noteflow.webhook_events, noteflow.webhook_deliveries",
)


@pytest.fixture
def database(clean_database: str) -> Iterator[psycopg.Connection]:
    """Offer a connection to an empty database."""
    with psycopg.connect(clean_database.replace("+psycopg", ""), autocommit=True) as connection:
        yield connection


def _buffers(database: psycopg.Connection) -> dict[str, int]:
    """Return how many blocks each statement of a look touches, once its connection knows the tables."""
    found = {}
    for name, statement in (("waiting", standing.STANDING), ("totals", TOTALS), ("counted to", standing.COUNTED_TO)):
        explained = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement.text}"
        database.execute(explained)
        row = database.execute(explained).fetchone()
        assert row is not None
        plan = (row[0] if isinstance(row[0], list) else json.loads(row[0]))[0]["Plan"]
        found[name] = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    return found


def test_a_look_costs_the_same_beside_twenty_thousand_settled_deliveries(database: psycopg.Connection) -> None:
    """It reads indexes of what waits: a block or two more where an index has grown a level, and no table."""
    empty = _buffers(database)
    for statement in _FILL:
        database.execute(statement)
    database.execute("VACUUM noteflow.webhook_events, noteflow.delivery_queue")
    full = _buffers(database)
    assert all(full[name] <= empty[name] + 8 for name in full), (empty, full)


def test_an_empty_system_stands_still(clean_database: str) -> None:
    """Nothing waits, nothing is counted, and nothing is missing from the answer."""
    engine = create_engine(clean_database, connections=1)
    look = Standing(engine)
    assert set(look.waiting().values()) == {0.0}
    assert look.totals()[0] == []
    assert (look.endpoints(), look.first_certificate_end()) == ({}, None)
    opened, most = look.connections()
    assert 0 < opened <= most
    engine.dispose()
