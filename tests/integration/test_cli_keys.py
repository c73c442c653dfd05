"""`keys`: made, put to use, and looked through, as an operator does; also by one who is killed half-way."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

import psycopg
import pytest

from noteflow_hooks.cli.root import root
from noteflow_hooks.cli.support.failures import run
from noteflow_hooks.crypto import SecretBox, generate_key, parse_keys
from noteflow_hooks.local.stack.environment import variables
from noteflow_hooks.settings import PREFIX
from tests.support.waiting import PATIENCE_S, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OLD, NEW = generate_key(), generate_key()
SECRET: Final = "whsec_the-canary-of-the-keys"
#: More than one batch, so that a kill can fall between two and into one.
MANY: Final = 1200


def box(*keys: str) -> SecretBox:
    return SecretBox(parse_keys(",".join(keys)))


@pytest.fixture(autouse=True)
def database(clean_database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[psycopg.Connection]:
    """An empty database, and an environment that names it and both keys."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(f"{PREFIX}DATABASE_URL", clean_database)
    monkeypatch.setenv(f"{PREFIX}SECRET_KEYS", f"{NEW},{OLD}")
    with psycopg.connect(clean_database.replace("+psycopg", ""), autocommit=True) as connection:
        yield connection


def endpoints(database: psycopg.Connection, count: int, *, key: str = OLD) -> list[UUID]:
    """Store endpoints with a secret under that key; return their ids in order."""
    ids, workspace_id = sorted(uuid4() for _ in range(count)), uuid4()
    database.execute("INSERT INTO noteflow.workspaces (id, name) VALUES (%s, 'one')", [workspace_id])
    database.execute(
        "INSERT INTO noteflow.webhook_configs (id, workspace_id, url, secret)"
        " SELECT new.id, %s, 'https://receiver.example/', new.secret"
        " FROM unnest(%s::uuid[], %s::bytea[]) AS new (id, secret)",
        [workspace_id, ids, [box(key).encrypt(SECRET, webhook_id=each, column="secret") for each in ids]],
    )
    return ids


def readable(database: psycopg.Connection, *keys: str) -> int:
    """Return how many of the secrets these keys open."""
    found = database.execute("SELECT id, secret FROM noteflow.webhook_configs").fetchall()
    opens = box(*keys)
    return sum(
        opens.is_current(sealed) and opens.decrypt(sealed, webhook_id=webhook_id, column="secret") == SECRET
        for webhook_id, sealed in found
    )


def printed(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> Any:  # noqa: ANN401 - whatever JSON says
    assert run(root, [*words, "--json"]) == code
    return json.loads(capsys.readouterr().out)


@contextmanager
def stuck_at(database: psycopg.Connection, webhook_id: UUID) -> Iterator[None]:
    """Have whoever writes that row wait, while the block runs."""
    database.execute("SELECT pg_advisory_lock(7)")
    database.execute(
        "CREATE FUNCTION noteflow.get_stuck() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NEW; END'"
    )
    condition = f"WHEN (OLD.id = '{webhook_id}')"
    database.execute(
        "CREATE TRIGGER get_stuck BEFORE UPDATE ON noteflow.webhook_configs"
        f" FOR EACH ROW {condition} EXECUTE FUNCTION noteflow.get_stuck()"
    )
    try:
        yield
    finally:
        database.execute("SELECT pg_advisory_unlock(7)")
        database.execute("DROP FUNCTION noteflow.get_stuck() CASCADE")


def waiting(database: psycopg.Connection) -> int:
    [(count,)] = database.execute(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    ).fetchall()
    return int(count)


def test_a_new_key_is_one_that_the_settings_take(capsys: pytest.CaptureFixture[str]) -> None:
    """Alone on its line, or with the name that it goes by; each time another one."""
    assert run(root, ["keys", "generate"]) == 0
    first = capsys.readouterr().out.strip()
    second = printed(capsys, "keys", "generate")
    assert parse_keys(first) != parse_keys(second["key"])
    assert second["id"] == box(second["key"]).key_ids[0]


def test_rotating_tells_what_it_did(database: psycopg.Connection, capsys: pytest.CaptureFixture[str]) -> None:
    """The first time everything, the second time nothing; afterwards the new key alone is enough."""
    endpoints(database, 3)
    endpoints(database, 1, key=NEW)
    [name] = box(NEW).key_ids
    told = printed(capsys, "keys", "rotate")
    assert told == {"key": name, "reencrypted": 3, "already_current": 1, "unreadable": []}
    assert run(root, ["keys", "rotate"]) == 0
    told_in_words = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert told_in_words == {"key": name, "reencrypted": "0", "already_current": "4", "unreadable": "0"}
    assert readable(database, NEW) == 4


def test_what_can_not_be_read_is_listed_and_the_rest_is_done(
    database: psycopg.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    """With exit status 1, by the endpoint's id; no key and no secret is printed."""
    endpoints(database, 2)
    lost_key = generate_key()
    [lost] = endpoints(database, 1, key=lost_key)
    told = printed(capsys, "keys", "rotate", code=1)
    [name] = box(lost_key).key_ids
    assert told["unreadable"] == [{"webhook_id": str(lost), "column": "secret", "key": name}]
    assert (told["reencrypted"], readable(database, NEW)) == (2, 2)
    assert run(root, ["keys", "rotate"]) == 1
    shown = capsys.readouterr().out
    assert all(word in shown for word in (str(lost), "secret", name))
    assert not any(hidden in shown for hidden in (OLD, NEW, lost_key, SECRET))


def test_a_check_says_when_a_key_may_be_dropped(
    database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ours in their order, then those that only ciphertexts name; status 1 where anything can't be read."""
    endpoints(database, 3)
    new, old = box(NEW, OLD).key_ids
    first = {"key": new, "role": "encrypts", "ciphertexts": 0, "unreadable": 0}
    assert printed(capsys, "keys", "check") == [
        first,
        {"key": old, "role": "decrypts", "ciphertexts": 3, "unreadable": 0},
    ]
    monkeypatch.setenv(f"{PREFIX}SECRET_KEYS", NEW)
    missing = {"key": old, "role": "missing", "ciphertexts": 3, "unreadable": 3}
    assert printed(capsys, "keys", "check", code=1) == [first, missing]


@pytest.mark.parametrize("command", ["rotate", "check"])
def test_without_keys_there_is_nothing_to_rotate(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The setting is named."""
    monkeypatch.delenv(f"{PREFIX}SECRET_KEYS")
    assert run(root, ["keys", command]) == 1
    assert f"{PREFIX}SECRET_KEYS is not set" in capsys.readouterr().err


def test_the_keys_of_a_running_up_are_found(
    database: psycopg.Connection,
    clean_database: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Beside its database, whatever the environment says of keys."""
    endpoints(database, 1)
    monkeypatch.delenv(f"{PREFIX}DATABASE_URL")
    monkeypatch.setenv(f"{PREFIX}SECRET_KEYS", NEW)
    folder = tmp_path / ".noteflow-hooks"
    folder.mkdir()
    (folder / "up.json").write_text(json.dumps({"database_url": clean_database}))
    (folder / "secret_keys").write_text(f"{OLD}\n")
    [row] = printed(capsys, "keys", "check")
    assert (row["key"], row["ciphertexts"], row["unreadable"]) == (box(OLD).key_ids[0], 1, 0)


def test_killed_in_the_middle_of_a_batch_it_goes_on_where_it_was(
    database: psycopg.Connection, clean_database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was committed stays, the batch under way is as it was, and the next run does the rest."""
    ids = endpoints(database, MANY)
    environment = variables({"database_url": clean_database, "secret_keys": f"{NEW},{OLD}"})
    command = [sys.executable, "-m", "noteflow_hooks.cli", "keys", "rotate"]
    with stuck_at(database, ids[MANY // 2]):
        process = subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL)
        until(lambda: waiting(database) == 1, what="it is in the middle")
        process.kill()
        assert process.wait(timeout=PATIENCE_S) == -9
    until(lambda: waiting(database) == 0, what="its statement has ended")
    assert readable(database, NEW) == 500
    assert readable(database, OLD) == MANY - 500
    told = printed(capsys, "keys", "rotate")
    assert (told["reencrypted"], told["already_current"], told["unreadable"]) == (MANY - 500, 500, [])
    assert readable(database, NEW) == MANY
