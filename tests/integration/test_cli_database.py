"""The commands that work on the database alone: the schema, workspaces and tokens."""

from __future__ import annotations

import json
import os
import pwd
import threading
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest
from alembic.script import ScriptDirectory
from psycopg.errors import CheckViolation

from noteflow_hooks import bootstrap
from noteflow_hooks.cli.root import root
from noteflow_hooks.cli.support.failures import run
from noteflow_hooks.domain.access import hash_token
from noteflow_hooks.local.stack.identity import Identity, ensure_identity
from noteflow_hooks.settings import PREFIX, Settings

if TYPE_CHECKING:
    from pathlib import Path

NEWEST = ScriptDirectory(str(bootstrap.migrations_folder())).get_current_head()


@pytest.fixture(autouse=True)
def _database(clean_database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(f"{PREFIX}DATABASE_URL", clean_database)


@pytest.fixture
def empty_database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database without a schema."""
    name = f"empty_{uuid4().hex}"
    url = database_url.replace("+psycopg", "")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    monkeypatch.setenv(f"{PREFIX}DATABASE_URL", url.replace("/noteflow?", f"/{name}?"))
    return name


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> Any:  # noqa: ANN401 - whatever JSON says
    assert run(root, [*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_workspace_is_made_and_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """With the same id, oldest first."""
    made = [printed(capsys, "workspaces", "create", name) for name in ("one", "two")]
    assert printed(capsys, "workspaces", "list") == made
    assert [each["name"] for each in made] == ["one", "two"]


def test_a_token_is_shown_once_and_its_hash_is_kept(capsys: pytest.CaptureFixture[str], clean_database: str) -> None:
    """Lists show its last four characters."""
    workspace = printed(capsys, "workspaces", "create", "one")
    made = printed(capsys, "tokens", "create", "--workspace", workspace["id"], "--name", "ci")
    token = made.pop("token")
    assert printed(capsys, "tokens", "list", "--workspace", workspace["id"]) == [made]
    assert printed(capsys, "tokens", "list", "--workspace", str(uuid4())) == []
    assert (made["name"], made["hint"]) == ("ci", token[-4:])
    with psycopg.connect(clean_database.replace("+psycopg", "")) as connection:
        [(stored,)] = connection.execute("SELECT token_hash FROM noteflow.api_tokens").fetchall()
    assert stored == hash_token(token)


def test_what_an_operator_does_is_on_record_by_name(
    capsys: pytest.CaptureFixture[str], clean_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name by which the system knows the user, whatever the environment says; no token and no hash of one."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody-else")
    workspace = printed(capsys, "workspaces", "create", "one")
    made = printed(capsys, "tokens", "create", "--workspace", "one", "--name", "ci", "--scope", "read")
    printed(capsys, "tokens", "revoke", made["id"])
    assert run(root, ["tokens", "revoke", made["id"]]) == 1
    with psycopg.connect(clean_database.replace("+psycopg", "")) as connection:
        found = connection.execute(
            "SELECT workspace_id::text, actor_kind, actor, action, target_id, old, new FROM noteflow.audit_log"
            " ORDER BY at"
        ).fetchall()
    user = pwd.getpwuid(os.geteuid()).pw_name
    told = {"name": "ci", "hint": made["token"][-4:], "scopes": ["read"], "expires_at": None}
    assert found == [
        (workspace["id"], "cli", user, action, target_id, old, new)
        for action, target_id, old, new in (
            ("workspace.created", workspace["id"], None, {"name": "one"}),
            ("token.created", made["id"], None, told),
            ("token.revoked", made["id"], told, None),
        )
    ]


def test_an_operator_changes_nothing_without_an_entry(capsys: pytest.CaptureFixture[str], clean_database: str) -> None:
    """Where that can't be written, there is no workspace and no token, and one that is there stays good."""
    workspace = printed(capsys, "workspaces", "create", "one")
    token = printed(capsys, "tokens", "create", "--workspace", workspace["id"])
    with psycopg.connect(clean_database.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("ALTER TABLE noteflow.audit_log ADD CONSTRAINT broken CHECK (false) NOT VALID")
        try:
            for words in (
                ("workspaces", "create", "two"),
                ("tokens", "create", "--workspace", workspace["id"]),
                ("tokens", "revoke", token["id"]),
            ):
                with pytest.raises(CheckViolation):
                    run(root, words)
        finally:
            connection.execute("ALTER TABLE noteflow.audit_log DROP CONSTRAINT broken")
    capsys.readouterr()
    assert printed(capsys, "workspaces", "list") == [workspace]
    [left] = printed(capsys, "tokens", "list")
    assert (left["id"], left["revoked_at"]) == (token["id"], None)


def test_a_token_is_revoked_once(capsys: pytest.CaptureFixture[str]) -> None:
    """A second time there is nothing left to revoke."""
    workspace = printed(capsys, "workspaces", "create", "one")
    token_id = printed(capsys, "tokens", "create", "--workspace", workspace["id"])["id"]
    assert printed(capsys, "tokens", "revoke", token_id) == {"id": token_id, "revoked": True}
    [token] = printed(capsys, "tokens", "list")
    assert token["revoked_at"] is not None
    assert run(root, ["tokens", "revoke", token_id]) == 1
    assert "not revoked" in capsys.readouterr().err


def test_a_token_may_be_narrow_and_end(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a word it may do everything, for ever."""
    workspace = printed(capsys, "workspaces", "create", "one")["id"]
    whole = printed(capsys, "tokens", "create", "--workspace", workspace)
    assert (whole["scopes"], whole["expires_at"]) == (["manage", "publish", "read"], None)
    scopes = ("--scope", "read", "--scope", "publish", "--scope", "read")
    narrow = printed(capsys, "tokens", "create", "--workspace", workspace, *scopes, "--expires", "90d")
    assert narrow["scopes"] == ["publish", "read"]
    lasts = datetime.fromisoformat(narrow["expires_at"]) - datetime.fromisoformat(narrow["created_at"])
    assert abs(lasts - timedelta(days=90)) < timedelta(minutes=1)
    assert [each["scopes"] for each in printed(capsys, "tokens", "list")] == [whole["scopes"], narrow["scopes"]]
    assert run(root, ["tokens", "list"]) == 0
    heads, *_, last = capsys.readouterr().out.splitlines()
    assert heads.split("  ")[-1].strip() == "LAST USED AT"
    assert "publish,read" in last


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["workspaces", "create", ""], 2, "name: must not be empty"),
        (["workspaces", "create", "x" * 256], 2, "name: has 256 characters; at most 255 are allowed"),
        (["tokens", "create", "--workspace", str(uuid4())], 1, "workspace_id: no workspace"),
        (["tokens", "create", "--workspace", str(uuid4()), "--scope", "own"], 2, "'own' is not one of"),
        (["tokens", "create", "--workspace", str(uuid4()), "--expires", "2020-01-31"], 2, "'2020-01-31' is past"),
        (["tokens", "create", "--workspace", str(uuid4()), "--expires", "soon"], 2, "90s, 30m, 2h, 7d from now"),
        (["migrate", "nonsense"], 2, f"revision: can't migrate from {NEWEST} to 'nonsense'"),
        (["migrate", "base"], 2, f"revision: 'base' lies behind: the schema is at {NEWEST}"),
    ],
)
def test_what_can_not_be_is_one_line(
    words: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what is allowed."""
    assert run(root, words) == code
    complaint = capsys.readouterr().err
    assert says in complaint
    assert complaint.count("\n") == 1


@pytest.mark.usefixtures("empty_database")
def test_an_empty_database_is_migrated_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """From nothing to the newest; a second time there is nothing to do."""
    assert run(root, ["workspaces", "list"]) == 1
    assert "the database has no tables of ours yet: run `noteflow-hooks migrate`" in capsys.readouterr().err
    assert run(root, ["migrate"]) == 0
    assert capsys.readouterr().out == f"migrated from nothing to {NEWEST}\n"
    assert run(root, ["migrate", str(NEWEST)]) == 0
    assert capsys.readouterr().out == f"the schema is at {NEWEST} already\n"


@pytest.mark.usefixtures("empty_database")
def test_a_newer_releases_schema_is_left_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """A release that was gone back to migrates at each start of its units, and they need that to go well."""
    assert run(root, ["migrate", "0001"]) == 0
    with psycopg.connect(os.environ[f"{PREFIX}DATABASE_URL"], autocommit=True) as connection:
        connection.execute("UPDATE noteflow.alembic_version SET version_num = '9999'")
    capsys.readouterr()
    assert run(root, ["migrate"]) == 0
    assert capsys.readouterr().out.startswith("the schema is at 9999, which this release does not know: a newer one's")


@pytest.mark.usefixtures("empty_database")
def test_one_that_waits_for_the_schema_changes_nothing_and_ends_once_it_is_there(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As does one that waits for less than is there. A newer release's schema, after a rollback, will do as well."""
    assert run(root, ["migrate", "--wait", "0"]) == 1
    assert f"the schema is at nothing after 0 s, and this waits for {NEWEST}" in capsys.readouterr().err
    assert run(root, ["migrate", "0002"]) == 0
    assert run(root, ["migrate", "--wait", "0"]) == 1
    assert run(root, ["migrate", "--wait", "0", "0001"]) == 0
    capsys.readouterr()
    waiting = threading.Thread(target=run, args=(root, ["migrate", "--wait", "60"]))
    waiting.start()
    assert run(root, ["migrate"]) == 0
    waiting.join(60)
    assert capsys.readouterr().out.endswith(f"the schema is at {NEWEST}\n")


def test_a_newer_releases_schema_is_none_to_wait_for(capsys: pytest.CaptureFixture[str], clean_database: str) -> None:
    """After a rollback the schema stays, and the older release's processes start on it."""
    with psycopg.connect(clean_database.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("UPDATE noteflow.alembic_version SET version_num = '9999'")
        try:
            assert run(root, ["migrate", "--wait", "0"]) == 0
        finally:
            connection.execute("UPDATE noteflow.alembic_version SET version_num = %s", [NEWEST])
    assert capsys.readouterr().out == "the schema is at 9999\n"
    assert run(root, ["migrate", "--wait", "0", "9998"]) == 2
    assert f"'9998' is none; allowed are head, and 0001 to {NEWEST}" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["workspaces", "list"], ["migrate"], ["tokens", "list"]])
def test_an_unreachable_database_is_one_line(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a password in it."""
    monkeypatch.setenv(f"{PREFIX}DATABASE_URL", "postgresql://user:hunter2@127.0.0.1:9/noteflow")
    assert run(root, words) == 1
    complaint = capsys.readouterr().err
    assert "the database does not answer" in complaint
    assert "hunter2" not in complaint
    assert complaint.count("\n") == 1


def test_the_database_of_a_running_up_is_found(
    clean_database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where no other is named."""
    monkeypatch.delenv(f"{PREFIX}DATABASE_URL")
    (tmp_path / ".noteflow-hooks").mkdir()
    (tmp_path / ".noteflow-hooks" / "up.json").write_text(json.dumps({"database_url": clean_database}))
    assert printed(capsys, "workspaces", "list") == []


def test_an_identity_is_kept_while_its_token_is_good(clean_database: str) -> None:
    """A revoked one is replaced in the same workspace, and one of another database altogether."""
    settings = Settings(_env_file=None, database_url=clean_database)
    first = ensure_identity(settings, None)
    assert ensure_identity(settings, first) == first
    with psycopg.connect(clean_database.replace("+psycopg", "")) as connection:
        connection.execute("UPDATE noteflow.api_tokens SET revoked_at = now()")
    second = ensure_identity(settings, first)
    assert second.workspace_id == first.workspace_id
    assert second.token != first.token
    assert ensure_identity(settings, Identity(str(uuid4()), "gone")).workspace_id != first.workspace_id
