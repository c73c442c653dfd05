"""Migration 0021: existing endpoints count as verified, and rolled back nothing goes to one that was not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest

from tests.integration.test_migration_event_types import OURS, Database

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def database(postgres: Any) -> Iterator[Database]:  # noqa: ANN401 - the embedded server
    name, server = f"verification_{uuid4().hex}", postgres.url.replace("+psycopg", "")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        url = postgres.url.replace("@/noteflow", f"@/{name}")
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as inside:
            yield Database(url, inside)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_existing_endpoints_count_as_verified_and_are_not_rewritten(database: Database) -> None:
    """Their rows are the very ones that they were."""
    database.up("0020")
    key = database.webhook(OURS)
    where = f"FROM noteflow.webhook_configs WHERE id = '{key}'"
    [before] = database.connection.execute(f"SELECT xmin::text, ctid::text {where}").fetchall()
    database.up("0021")
    assert database.connection.execute(f"SELECT xmin::text, ctid::text {where}").fetchall() == [before]
    asked = "unverified_since, verified_at, pending_url, challenge"
    assert database.connection.execute(f"SELECT {asked} {where}").fetchall() == [(None,) * 4]


def test_rolled_back_who_was_not_verified_is_paused_and_no_challenge_goes_out(database: Database) -> None:
    """The release before would send to it, and the challenge with a mark in its place. Who moves stays."""
    database.up("0021")
    new = database.webhook(OURS, unverified_since="2024-01-31T12:00:00Z")
    moving = database.webhook(OURS, pending_url="https://new.example/")
    said: list[str] = []
    database.connection.add_notice_handler(lambda notice: said.append(str(notice.message_primary)))
    event_id = uuid4()
    database.connection.execute(
        "INSERT INTO noteflow.webhook_events (id, workspace_id, event_type, payload, occurred_at, target_webhook_id)"
        " SELECT %s, workspace_id, 'webhook.verification', '{}', now(), id FROM noteflow.webhook_configs WHERE id = %s",
        [event_id, new],
    )
    database.connection.execute(
        "INSERT INTO noteflow.delivery_queue (workspace_id, webhook_id, event_id, event_type, status, next_attempt_at)"
        " SELECT workspace_id, id, %s, 'webhook.verification', 'pending', now() FROM noteflow.webhook_configs"
        " WHERE id = %s",
        [event_id, new],
    )
    database.down("0020")
    paused = "SELECT id, paused_at IS NOT NULL FROM noteflow.webhook_configs"
    assert dict(database.connection.execute(paused).fetchall()) == {new: True, moving: False}
    assert database.connection.execute("SELECT status FROM noteflow.webhook_deliveries").fetchall() == [("skipped",)]
    left = "SELECT count(*) FROM noteflow.webhook_events WHERE dispatched_at IS NULL"
    assert database.connection.execute(left).fetchall() == [(0,)]
    database.up("head")
