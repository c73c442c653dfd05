"""The schema, made and unmade in a database of its own, and what it refuses by itself."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING
from uuid import RFC_4122, uuid4

import psycopg
import pytest
from alembic import command
from alembic.config import Config

from noteflow_hooks import bootstrap
from noteflow_hooks.persistence.sql.append_statements import statements_for
from noteflow_hooks.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from noteflow_hooks.local.servers import EmbeddedPostgres
    from noteflow_hooks.persistence.sql.wire import Statement


@pytest.fixture
def empty_database(postgres: EmbeddedPostgres) -> Iterator[str]:
    name, server = f"migrations_{uuid4().hex}", postgres.url.replace("+psycopg", "")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield postgres.url.replace("@/noteflow", f"@/{name}")
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def migrated_database(postgres: EmbeddedPostgres) -> Iterator[str]:
    """Offer a database that was migrated and has had no row yet."""
    name, server = f"migrated_{uuid4().hex}", postgres.url.replace("+psycopg", "")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        url = postgres.url.replace("@/noteflow", f"@/{name}")
        bootstrap.migrate(settings(url))
        yield url
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def settings(url: str) -> Settings:
    return Settings(_env_file=None, database_url=url)


def alembic(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(bootstrap.migrations_folder()))
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


def plain(url: str) -> str:
    return url.replace("+psycopg", "")


def tables(url: str) -> int:
    with psycopg.connect(plain(url)) as connection:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'noteflow'").fetchall()
    return len(rows)


def test_migrations_go_up_down_and_up_again(empty_database: str) -> None:
    """Down leaves Alembic's own table and nothing else."""
    bootstrap.migrate(settings(empty_database))
    whole = tables(empty_database)
    command.downgrade(alembic(empty_database), "base")
    assert tables(empty_database) == 1
    bootstrap.migrate(settings(empty_database))
    assert tables(empty_database) == whole == 32


def test_the_mapped_tables_are_the_migrated_ones(migrated_database: str) -> None:
    """``alembic check`` finds nothing to do."""
    command.check(alembic(migrated_database))


@pytest.mark.parametrize("name", ["one", "numbered", "many"])
def test_a_key_is_looked_up_in_its_own_index_from_the_first_event_on(migrated_database: str, name: str) -> None:
    """Such a plan is kept until the table is analyzed: another index would read all of the workspace's events."""
    statement: Statement = getattr(statements_for([]), name)
    with psycopg.connect(plain(migrated_database)) as connection:
        connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        connection.execute(b"PREPARE publishing AS " + statement.sql)
        nulls = ", ".join(["NULL"] * len(statement.names))
        plan = "\n".join(row[0] for row in connection.execute(f"EXPLAIN EXECUTE publishing ({nulls})"))
    assert "ix_webhook_events" not in plan
    assert "Seq Scan on webhook_events" not in plan


def test_two_migrations_at_once_do_no_harm(empty_database: str) -> None:
    """The second waits for the first, and finds its work done."""
    environment = {**os.environ, "NOTEFLOW_HOOKS_DATABASE_URL": empty_database}
    command_line = [sys.executable, "-m", "noteflow_hooks.cli", "migrate"]
    both = [subprocess.Popen(command_line, env=environment, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [each.wait(timeout=60) for each in both] == [0, 0]
    assert tables(empty_database) == 32


@pytest.fixture
def rows(clean_database: str) -> Iterator[psycopg.Connection]:
    """A workspace, an endpoint, an event and a delivery, whose keys are all this one."""
    with psycopg.connect(plain(clean_database), autocommit=True) as connection:
        for statement in (
            "INSERT INTO noteflow.workspaces (id, name) VALUES (%(id)s, 'w')",
            # As a command of the first schemas does it, which names neither scopes nor an end.
            (
                "INSERT INTO noteflow.api_tokens (id, workspace_id, name, token_hash, hint)"
                " VALUES (%(id)s, %(id)s, 't', 'hash', 'abcd')"
            ),
            "INSERT INTO noteflow.webhook_configs (id, workspace_id, url) VALUES (%(id)s, %(id)s, 'https://h.example/')",
            (
                "INSERT INTO noteflow.webhook_events (id, workspace_id, event_type, payload, occurred_at)"
                " VALUES (%(id)s, %(id)s, 'meeting.completed', '{}', now())"
            ),
            (
                "INSERT INTO noteflow.webhook_deliveries"
                " (id, workspace_id, webhook_id, event_id, event_type, next_attempt_at)"
                " VALUES (%(id)s, %(id)s, %(id)s, %(id)s, 'meeting.completed', now())"
            ),
        ):
            connection.execute(statement, {"id": KEY})
        yield connection


KEY = uuid4()


def test_an_attempt_of_the_release_before_is_not_redialled(rows: psycopg.Connection) -> None:
    """Its workers go on beside the new schema: they know nothing of the column."""
    rows.execute(
        "INSERT INTO noteflow.webhook_attempts (delivery_id, attempt_number, started_at, duration_ms, status_code)"
        " VALUES (%(id)s, 1, now(), 1, 200)",
        {"id": KEY},
    )
    assert rows.execute("SELECT redialled FROM noteflow.webhook_attempts").fetchall() == [(False,)]


def test_an_update_sets_updated_at(rows: psycopg.Connection) -> None:
    """A trigger keeps it, whoever writes."""
    rows.execute("UPDATE noteflow.webhook_configs SET updated_at = '2000-01-01'")
    [(fresh,)] = rows.execute("SELECT updated_at > '2000-01-02' FROM noteflow.webhook_configs").fetchall()
    assert fresh


@pytest.mark.parametrize(
    "change",
    [
        "webhook_configs SET url = 'http://h.example/'",
        "webhook_configs SET url = 'http://localhost.evil.example/'",
        "webhook_configs SET url = 'ftp://h.example/'",
        "webhook_configs SET timeout_ms = 99",
        "webhook_configs SET timeout_ms = 30001",
        "webhook_configs SET max_retries = 0",
        "webhook_configs SET events = '{webhook.test}'",
        "webhook_configs SET events = '{unknown}'",
        "webhook_configs SET events = '{meeting.completed,NULL}'",
        "webhook_configs SET events = '{custom.}'",
        "webhook_configs SET payload_version = 0",
        "webhook_configs SET signing = 'rsa'",
        "webhook_configs SET deleted_at = now(), secret = 'x'",
        "webhook_events SET payload = '{'",
        "webhook_events SET payload = to_json(repeat('x', 10239))",
        "webhook_deliveries SET status = 'unknown'",
        "webhook_deliveries SET status = 'succeeded', next_attempt_at = NULL",
        "webhook_deliveries SET status = 'succeeded', next_attempt_at = NULL, delivered_at = now(), status_code = 500",
        "webhook_deliveries SET status = 'sending', next_attempt_at = NULL",
        "webhook_deliveries SET status = 'dead'",
        "webhook_deliveries SET next_attempt_at = NULL",
        "webhook_deliveries SET attempt_count = -1",
        "api_tokens SET scopes = '{}'",
        "api_tokens SET scopes = '{read,own}'",
        "api_tokens SET scopes = '{read,NULL}'",
        "api_tokens SET scopes = NULL",
    ],
)
def test_the_database_refuses_rows_that_the_domain_has_no_state_for(rows: psycopg.Connection, change: str) -> None:
    """Written by hand, past the application."""
    with pytest.raises((psycopg.IntegrityError, psycopg.DataError)):
        rows.execute(f"UPDATE noteflow.{change}")


@pytest.mark.parametrize("url", ["http://localhost/", "http://127.0.0.1:8080/x", "http://[::1]:1/?q", "https://h/"])
def test_the_database_takes_http_to_loopback(rows: psycopg.Connection, url: str) -> None:
    """Whether the application does is a setting of its own."""
    rows.execute("UPDATE noteflow.webhook_configs SET url = %s", [url])


def test_a_workspace_takes_everything_with_it(rows: psycopg.Connection) -> None:
    """Its rows in every table go with the workspace's own."""
    rows.execute("DELETE FROM noteflow.workspaces")
    [(left,)] = rows.execute("SELECT count(*) FROM noteflow.webhook_deliveries").fetchall()
    assert left == 0


def test_a_token_of_the_release_before_has_all_scopes_and_no_end(rows: psycopg.Connection) -> None:
    """What opened everything goes on doing so."""
    found = rows.execute("SELECT scopes, expires_at, last_used_at FROM noteflow.api_tokens").fetchall()
    assert found == [(["manage", "publish", "read"], None, None)]


def test_a_token_that_the_release_before_would_widen_is_revoked_on_the_way_down(empty_database: str) -> None:
    """One with fewer scopes or an end would open everything for ever; the others stay good."""
    bootstrap.migrate(settings(empty_database))
    with psycopg.connect(plain(empty_database)) as connection:
        connection.execute("INSERT INTO noteflow.workspaces (id, name) VALUES (%s, 'w')", [KEY])
        for name, scopes, end in (
            ("narrow", ["read"], None),
            ("ending", ["manage", "publish", "read"], "9000-01-01"),
            ("whole", ["read", "publish", "manage"], None),
        ):
            connection.execute(
                "INSERT INTO noteflow.api_tokens (workspace_id, name, token_hash, hint, scopes, expires_at)"
                " VALUES (%s, %s, %s, '', %s, %s)",
                [KEY, name, name.encode(), scopes, end],
            )
    command.downgrade(alembic(empty_database), "0002")
    with psycopg.connect(plain(empty_database)) as connection:
        rows = connection.execute("SELECT name FROM noteflow.api_tokens WHERE revoked_at IS NULL").fetchall()
    assert rows == [("whole",)]


def test_what_waits_is_still_there_on_the_way_down(empty_database: str) -> None:
    """The former schema has one table for it, whose rows name rows that are there."""
    bootstrap.migrate(settings(empty_database))
    with psycopg.connect(plain(empty_database)) as connection:
        for statement in (
            "INSERT INTO noteflow.workspaces (id, name) VALUES (%(id)s, 'w')",
            "INSERT INTO noteflow.webhook_configs (id, workspace_id, url) VALUES (%(id)s, %(id)s, 'https://h.example/')",
            (
                "INSERT INTO noteflow.webhook_events (id, workspace_id, event_type, payload, occurred_at)"
                " VALUES (%(id)s, %(id)s, 'meeting.completed', '{}', now())"
            ),
            (
                "INSERT INTO noteflow.delivery_queue (id, workspace_id, webhook_id, event_id, event_type,"
                " next_attempt_at) VALUES (%(id)s, %(id)s, %(id)s, %(id)s, 'meeting.completed', now())"
            ),
            (
                "INSERT INTO noteflow.webhook_attempts (delivery_id, attempt_number, started_at, duration_ms)"
                " VALUES (%(id)s, 1, now(), 1), (gen_random_uuid(), 1, now(), 1)"
            ),
        ):
            connection.execute(statement, {"id": KEY})
    command.downgrade(alembic(empty_database), "0009")
    with psycopg.connect(plain(empty_database)) as connection:
        assert connection.execute("SELECT id, status FROM noteflow.webhook_deliveries").fetchall() == [(KEY, "pending")]
        assert connection.execute("SELECT delivery_id FROM noteflow.webhook_attempts").fetchall() == [(KEY,)]
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            connection.execute("UPDATE noteflow.webhook_attempts SET delivery_id = gen_random_uuid()")


def test_a_payload_is_kept_to_the_letter(rows: psycopg.Connection) -> None:
    """Spaces, key order and the way a number is written are what is signed."""
    exact = '{"b":1.50,"a":1e2}'
    rows.execute("UPDATE noteflow.webhook_events SET payload = %s", [exact])
    [(kept,)] = rows.execute("SELECT payload::text FROM noteflow.webhook_events").fetchall()
    assert kept == exact


def test_ids_of_events_deliveries_and_attempts_come_in_the_order_of_time(database_url: str) -> None:
    """The database's own are of version 7 (RFC 9562), and begin with the time in ms."""
    with psycopg.connect(plain(database_url)) as connection:
        moment = "floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
        [(before,)], [(made,)], [(after,)] = (
            connection.execute(f"SELECT {each}").fetchall() for each in (moment, "noteflow.ordered_id()", moment)
        )
        defaults = connection.execute(
            "SELECT table_name FROM information_schema.columns"
            " WHERE table_schema = 'noteflow' AND column_default LIKE '%ordered_id()'"
        ).fetchall()
    assert (made.version, made.variant) == (7, RFC_4122)
    assert before <= made.int >> 80 <= after
    assert {name for (name,) in defaults} == {
        "webhook_events",
        "webhook_deliveries",
        "delivery_queue",
        "webhook_attempts",
        "webhook_batches",
        "webhook_mails",
        "audit_log",
        "stats_resent",
    }
