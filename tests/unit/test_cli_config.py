"""`config`: what is set and from where, with secrets hidden; and all that is wrong with it at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from noteflow_hooks.cli.root import root
from noteflow_hooks.cli.support.configuration import KINDS
from noteflow_hooks.cli.support.failures import run
from noteflow_hooks.crypto import generate_key
from noteflow_hooks.settings import PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping

CANARY: Final = "c4n4ry"
GOOD: Final = {
    "DATABASE_URL": f"postgresql://u:{CANARY}@db.example:5432/{CANARY}",
    "REDIS_URL": f"redis://:{CANARY}@redis.example:6379/0",
    "SECRET_KEYS": generate_key(),
}


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty folder without a .env, and none of our variables."""
    monkeypatch.chdir(tmp_path)
    for kind in KINDS:
        for name in kind.model_fields:
            monkeypatch.delenv(kind.variable(name), raising=False)


def given(monkeypatch: pytest.MonkeyPatch, values: Mapping[str, str]) -> None:
    for name, value in values.items():
        monkeypatch.setenv(PREFIX + name, value)


def shown(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, dict[str, Any]]:
    assert run(root, ["config", "show", "--json", *options]) == 0
    return {each["setting"].removeprefix(PREFIX): each for each in json.loads(capsys.readouterr().out)}


def test_each_setting_is_shown_with_where_it_comes_from(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The environment goes before the file, and the file before the default."""
    Path(".env").write_text(f"{PREFIX}LOG_FORMAT=text\n{PREFIX}SWEEP_EVERY_S=9\n")
    given(monkeypatch, {"SWEEP_EVERY_S": "7"})
    found = shown(capsys)
    everything = {kind.variable(name).removeprefix(PREFIX) for kind in KINDS for name in kind.model_fields}
    assert found.keys() == everything
    assert (found["SWEEP_EVERY_S"]["value"], found["SWEEP_EVERY_S"]["source"]) == ("7", "environment")
    assert (found["LOG_FORMAT"]["value"], found["LOG_FORMAT"]["source"]) == ("text", ".env")
    assert (found["RELAY_EVERY_S"]["value"], found["RELAY_EVERY_S"]["source"]) == ("5", "default")
    assert shown(capsys, "--set").keys() == {"SWEEP_EVERY_S", "LOG_FORMAT"}


def test_no_secret_is_shown_good_or_bad(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a URL the host; of what is not even one, nothing."""
    given(monkeypatch, {**GOOD, "TOKEN": CANARY, "DASHBOARD_SECRET": CANARY * 4, "EGRESS_PROXY": f"u:{CANARY}@p"})
    found = shown(capsys)
    assert found["DATABASE_URL"]["value"] == "postgresql://db.example:5432/…"
    assert {found[name]["value"] for name in ("SECRET_KEYS", "TOKEN", "DASHBOARD_SECRET", "EGRESS_PROXY")} == {
        "(hidden)"
    }
    assert CANARY not in json.dumps(found)
    run(root, ["config", "show"])
    run(root, ["config", "check"])
    assert CANARY not in "".join(capsys.readouterr())


def test_all_problems_are_said_at_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Bad values first, each with what it may hold; a name that is no setting is a warning."""
    given(monkeypatch, {"LEASE_SLACK_S": "-1", "DATABASE_URL": CANARY, "LOG_FORMT": "text"})
    assert run(root, ["config", "check"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(" is ")[0].removeprefix("noteflow-hooks: ") for line in lines] == [
        "warning: NOTEFLOW_HOOKS_LOG_FORMT",
        "NOTEFLOW_HOOKS_DATABASE_URL",
        "NOTEFLOW_HOOKS_LEASE_SLACK_S",
    ]


@pytest.mark.parametrize(
    ("program", "missing"),
    [
        ("all", ["DATABASE_URL", "REDIS_URL", "SECRET_KEYS"]),
        ("worker", ["DATABASE_URL", "REDIS_URL", "SECRET_KEYS"]),
        ("beat", ["DATABASE_URL", "REDIS_URL"]),
        ("dashboard", []),
    ],
)
def test_what_a_program_needs_is_asked_of_it_alone(
    capsys: pytest.CaptureFixture[str], program: str, missing: list[str]
) -> None:
    """Each missing one has a line, and where none is the exit status is 0."""
    assert run(root, ["config", "check", "--for", program, "--json"]) == (1 if missing else 0)
    said = [each["problem"].split()[0].removeprefix(PREFIX) for each in json.loads(capsys.readouterr().out)]
    assert said == missing


def test_settings_that_do_not_go_together_are_a_problem(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a certificate without its key, and a dashboard that others reach without TLS."""
    given(monkeypatch, {**GOOD, "GRPC_TLS_CERT": "nowhere.pem", "DASHBOARD_BIND": "0.0.0.0:8088"})
    assert run(root, ["config", "check"]) == 1
    tls, dashboard = capsys.readouterr().err.splitlines()
    assert "GRPC_TLS_KEY is not" in tls
    assert "DASHBOARD_BIND" in dashboard
    assert run(root, ["config", "check", "--for", "worker"]) == 0
    assert capsys.readouterr().out == "the settings are good\n"
