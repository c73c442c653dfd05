"""`doctor` over a real PostgreSQL and a real Redis, without workers, and what it says of each thing that is wrong."""

from __future__ import annotations

import json
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import psycopg
import pytest
from redis import Redis

from noteflow_hooks import bootstrap
from noteflow_hooks.broker.names import QUEUES
from noteflow_hooks.cli.doctor.broker import Broker
from noteflow_hooks.cli.doctor.findings import State
from noteflow_hooks.cli.root import root
from noteflow_hooks.cli.support.failures import run
from noteflow_hooks.crypto import SecretBox, generate_key, parse_keys
from noteflow_hooks.domain.filters import UNAVAILABLE
from noteflow_hooks.errors import UnavailableError
from noteflow_hooks.local.stack.ports import free_address
from noteflow_hooks.persistence.sql.engine import create_engine
from noteflow_hooks.persistence.sql.maintenance.standing import Standing
from noteflow_hooks.settings import PREFIX, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import ModuleType

KEY: Final = generate_key()
PASSWORD: Final = "the-canary-of-the-doctor"
#: What a database without rows, a Redis without workers and no server come to.
WITHOUT_WORKERS: Final = {"relay", "sweep", "workers"}
KEY_OF_ALL: Final = uuid4()
#: An event that was not dispatched for a minute, with three deliveries: due for ten minutes, held, and past its lease.
A_BACKLOG: Final = """
INSERT INTO noteflow.workspaces (id, name) VALUES (%(id)s, 'w');
INSERT INTO noteflow.webhook_configs (workspace_id, url)
SELECT %(id)s, 'https://h.example/' FROM generate_series(1, 3);
INSERT INTO noteflow.webhook_events (id, workspace_id, event_type, payload, occurred_at, created_at)
VALUES (%(id)s, %(id)s, 'meeting.completed', '{}', now(), now() - interval '1 min');
INSERT INTO noteflow.webhook_deliveries (workspace_id, webhook_id, event_id, event_type, next_attempt_at, held)
SELECT %(id)s, id, %(id)s, 'meeting.completed', now() - interval '10 min', row_number() OVER () > 1
FROM noteflow.webhook_configs;
UPDATE noteflow.webhook_deliveries
SET status = 'sending', next_attempt_at = NULL, claimed_at = now(), lease_expires_at = now() - interval '2 s',
    held = false
WHERE id = (SELECT id FROM noteflow.webhook_deliveries WHERE workspace_id = %(id)s AND held LIMIT 1)
"""


@pytest.fixture(autouse=True)
def database(
    clean_database: str, redis_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[psycopg.Connection]:
    """An empty database, and an environment that names it, Redis and a key."""
    monkeypatch.chdir(tmp_path)
    for name, value in {"DATABASE_URL": clean_database, "REDIS_URL": redis_url, "SECRET_KEYS": KEY}.items():
        monkeypatch.setenv(PREFIX + name, value)
    with psycopg.connect(clean_database.replace("+psycopg", ""), autocommit=True) as connection:
        yield connection


@pytest.fixture
def broker(redis_url: str) -> Iterator[Broker]:
    with closing(Broker(settings(redis_url=redis_url))) as made:
        yield made


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        yield client


def settings(**fields: str) -> Settings:
    return Settings(_env_file=None, **fields)  # type: ignore[arg-type]  # as the fields are


def examined(capsys: pytest.CaptureFixture[str], *, code: int = 1) -> dict[str, dict[str, Any]]:
    """Run the command, and return what it says of each check."""
    assert run(root, ["doctor", "--json"]) == code
    return {each["check"]: each for each in json.loads(capsys.readouterr().out)}


def failures(found: dict[str, dict[str, Any]]) -> set[str]:
    """Return what has failed, but for the durability that the tests' own server goes without."""
    return {name for name, each in found.items() if each["state"] == "failed"} - {"durability"}


@contextmanager
def at_revision(database: psycopg.Connection, revision: str) -> Iterator[None]:
    """Have the schema say that it is at that revision, while the block runs."""
    change = "UPDATE noteflow.alembic_version SET version_num = %s"
    database.execute(change, [revision])
    try:
        yield
    finally:
        database.execute(change, [bootstrap.revisions()[-1]])


def test_without_workers_it_says_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody runs relay or sweep, nobody answers; no server on this machine is a warning where none is named."""
    found = examined(capsys)
    assert failures(found) == WITHOUT_WORKERS
    assert found["durability"]["found"] == "fsync, full_page_writes off"
    assert found["keys"]["found"] == "no secret is stored"
    assert found["server"]["state"] == "warning"
    assert all((each["state"] == "ok") == (each["advice"] is None) for each in found.values())


def test_what_no_worker_could_ask_a_filter_about_is_counted(
    database: psycopg.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of endpoints with a filter, whether throttled or not; what waits for another reason is not."""
    for statement in A_BACKLOG.replace("webhook_deliveries", "delivery_queue").split(";"):
        database.execute(statement, {"id": KEY_OF_ALL})
    assert examined(capsys)["filters"]["found"] == "deliveries whose filter no worker could evaluate: 0"
    database.execute("UPDATE noteflow.webhook_configs SET filter = 'true'")
    database.execute(
        "UPDATE noteflow.delivery_queue SET error_message = %s, created_at = now() - interval '1 h'", [UNAVAILABLE]
    )
    found = examined(capsys)["filters"]
    assert found["state"] == "failed"
    assert found["found"] == "deliveries whose filter no worker could evaluate: 2, the first for 60 min"


def test_endpoints_of_all_workspaces_are_counted(
    database: psycopg.Connection, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A tenth with an open breaker is a warning, with figures for programs; so is a client certificate that ended.

    What the exporter asks for shows the same.
    """
    database.execute(
        "INSERT INTO noteflow.workspaces (id, name) SELECT gen_random_uuid(), 'w' FROM generate_series(1, 2)"
    )
    database.execute(
        "INSERT INTO noteflow.webhook_configs (workspace_id, url)"
        " SELECT id, 'https://h.example/' FROM noteflow.workspaces CROSS JOIN generate_series(1, 10)"
    )
    assert examined(capsys)["endpoints"]["numbers"]["enabled"] == 20
    database.execute(
        "UPDATE noteflow.webhook_health SET open_until = now(), failing_since = now(), failures = 20, turn_at = now()"
        " WHERE webhook_id IN (SELECT id FROM noteflow.webhook_configs LIMIT 2)"
    )
    ended = json.dumps({"client": ["CN=x", "CN=y", "2026-01-01T00:00:00+00:00", "00"], "server_ca": []})
    database.execute(
        "UPDATE noteflow.webhook_configs SET certificate_info = %s"
        " WHERE id = (SELECT id FROM noteflow.webhook_configs LIMIT 1)",
        [ended],
    )
    found = examined(capsys)
    assert found["endpoints"]["state"] == found["certificates"]["state"] == "warning"
    assert found["endpoints"]["numbers"]["circuit_open"] == 2
    assert found["certificates"]["numbers"] == {"endpoints": 1, "expired": 1, "expiring": 0}
    assert {found[name]["state"] for name in ("disk", "pooler", "releases", "connections")} == {"ok"}
    engine = create_engine(database_url, connections=1)
    standing = Standing(engine)
    assert standing.endpoints() == {"healthy": 18, "circuit_open": 2}
    assert standing.first_certificate_end() == datetime(2026, 1, 1, tzinfo=UTC)
    engine.dispose()


def test_a_database_that_is_away_fails_what_needs_it_and_no_password_is_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each check is there all the same, and nothing that the URLs hold beside host and port."""
    nowhere = free_address()
    monkeypatch.setenv(f"{PREFIX}DATABASE_URL", f"postgresql://u:{PASSWORD}@{nowhere}/x")
    monkeypatch.setenv(f"{PREFIX}REDIS_URL", f"redis://:{PASSWORD}@{nowhere}/0")
    monkeypatch.setenv(f"{PREFIX}GRPC_BIND", nowhere)
    assert run(root, ["doctor"]) == 1
    printed = capsys.readouterr()
    lines = {line.split()[1]: line for line in printed.out.splitlines()[1:]}
    assert {name for name, line in lines.items() if line.startswith("ok")} == {"settings"}
    assert "Connection refused; start PostgreSQL, or correct NOTEFLOW_HOOKS_DATABASE_URL" in lines["postgres"]
    assert "start Redis, or correct NOTEFLOW_HOOKS_REDIS_URL" in lines["redis"]
    assert lines["sweep"].endswith("not known; see to postgres first")
    assert printed.err == f"noteflow-hooks: {len(lines) - 1} of {len(lines)} checks failed\n"
    assert PASSWORD not in printed.out


def test_a_setting_that_is_missing_is_a_finding(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named; what can be looked at without it is."""
    monkeypatch.delenv(f"{PREFIX}REDIS_URL")
    monkeypatch.delenv(f"{PREFIX}SECRET_KEYS")
    found = examined(capsys)
    assert found["settings"]["found"] == "NOTEFLOW_HOOKS_SECRET_KEYS is not set"
    assert found["redis"]["found"].startswith("NOTEFLOW_HOOKS_REDIS_URL is not set")
    assert found["keys"]["found"] == "not known"
    assert found["events"]["state"] == "ok"


def test_an_older_schema_wants_to_be_migrated_and_a_newer_one_serves(
    database: psycopg.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where it is older, what needs its tables is not looked at."""
    with at_revision(database, "0006"):
        found = examined(capsys)
    assert found["schema"]["advice"] == "run `noteflow-hooks migrate`"
    assert found["sweep"]["found"] == "not known"
    with at_revision(database, "9999"):
        found = examined(capsys)
    assert found["schema"]["state"] == "warning"
    assert failures(found) == WITHOUT_WORKERS


def test_a_database_without_our_tables_wants_to_be_migrated(database: psycopg.Connection, database_url: str) -> None:
    """It has no revision."""
    name = f"doctor_{uuid4().hex}"
    database.execute(f"CREATE DATABASE {name}")
    parts = bootstrap.diagnostics(settings(database_url=database_url.replace("@/noteflow", f"@/{name}")))
    with closing(parts):
        assert parts.diagnostics.revision() is None
    database.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_one_ciphertext_of_each_key_is_tried(database: psycopg.Connection, capsys: pytest.CaptureFixture[str]) -> None:
    """A key that is not there any more is told of, with how much is under it, and the kept one opens."""
    workspace_id, old = uuid4(), SecretBox(parse_keys(generate_key()))
    database.execute("INSERT INTO noteflow.workspaces (id, name) VALUES (%s, 'one')", [workspace_id])
    for box in (SecretBox(parse_keys(KEY)), SecretBox(parse_keys(KEY)), old):
        webhook_id = uuid4()
        database.execute(
            "INSERT INTO noteflow.webhook_configs (id, workspace_id, url, secret, headers)"
            " VALUES (%s, %s, 'https://receiver.example/', %s, %s)",
            [
                webhook_id,
                workspace_id,
                box.encrypt("a secret", webhook_id=webhook_id, column="secret"),
                box.encrypt("[]", webhook_id=webhook_id, column="headers"),
            ],
        )
    found = examined(capsys)
    assert found["keys"]["found"] == f"2 of 6 secrets are under key {old.key_ids[0]}, which is not there"
    assert failures(found) == WITHOUT_WORKERS | {"keys"}


def test_what_waits_is_told_of_with_its_figures(
    database: psycopg.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    """Events, deliveries and leases, each by the first of them; what is held for its endpoint's turn is no backlog."""
    for statement in A_BACKLOG.split(";"):
        database.execute(statement, {"id": KEY_OF_ALL})
    found = examined(capsys)
    assert found["events"]["state"] == "warning"
    assert found["events"]["found"].startswith("events not dispatched: 1, the first for 6")
    assert found["deliveries"]["state"] == "failed"
    assert found["deliveries"]["found"] == "deliveries due and not taken: 1, the first for 10 min"
    assert found["leases"]["state"] == "ok"
    assert found["leases"]["found"].startswith("deliveries held past their lease: 1, the first for ")


def test_moments_that_python_has_none_for_are_no_trouble(database: psycopg.Connection, database_url: str) -> None:
    """Set by hand, past the application: such a row has waited for ever."""
    database.execute("INSERT INTO noteflow.task_runs (name, ended_at) VALUES ('sweep', '-infinity')")
    parts = bootstrap.diagnostics(settings(database_url=database_url))
    assert parts.task_runs.ages()["sweep"] > timedelta(days=365)
    parts.close()


def test_a_redis_that_is_full_takes_no_writes_and_says_why(broker: Broker, redis: Redis) -> None:
    """The check writes nothing, and is refused as a message would be."""
    assert broker.writes().state is State.OK
    redis.config_set("maxmemory", 1)
    try:
        verdict = broker.writes()
    finally:
        redis.config_set("maxmemory", 0)
    assert verdict.state is State.FAILED
    assert "maxmemory" in verdict.found
    assert redis.keys("noteflow-hooks*") == []


def test_an_eviction_policy_is_a_warning(broker: Broker, redis: Redis) -> None:
    """Wake-ups that are evicted come late."""
    redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        verdict = broker.memory()
    finally:
        redis.config_set("maxmemory-policy", "noeviction")
    assert (verdict.state, broker.memory().state) == (State.WARNING, State.OK)
    assert verdict.found.endswith("allkeys-lru")


def test_messages_are_counted_and_a_key_in_a_queues_place_is_told_of(broker: Broker, redis: Redis) -> None:
    """By the queues' own names."""
    redis.delete(*QUEUES)
    redis.lpush("deliver.slow", "one", "two")
    assert broker.queues().found == "dispatch 0, deliver 0, deliver.slow 2, maintenance 0"
    redis.delete("deliver.slow")
    redis.set("deliver.slow", "a text")
    with pytest.raises(UnavailableError, match="WRONGTYPE"):
        broker.queues()
    redis.delete("deliver.slow")


def test_the_queues_are_the_workers_own(tasks: ModuleType) -> None:
    """This package does not import theirs; the names are public."""
    assert tasks.app.conf.task_queues is not None
    assert {queue.name for queue in tasks.app.conf.task_queues} == set(QUEUES)
