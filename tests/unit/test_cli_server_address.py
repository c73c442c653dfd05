"""Where commands look for a server and its token: options, the environment, and the file of a running `up`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from noteflow_hooks.cli.root import root
from noteflow_hooks.cli.support import remote
from noteflow_hooks.cli.support.failures import run
from noteflow_hooks.errors import UnavailableError
from noteflow_hooks.settings import PREFIX

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("no_settings")


@pytest.fixture
def addresses(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The servers and tokens that commands would call; nothing is called."""
    called: list[tuple[str, str]] = []

    def connect(server: str, token: str) -> None:
        called.append((server, token))
        raise UnavailableError("not called")

    monkeypatch.setattr(remote, "connect", connect)
    return called


def running_up(folder: Path) -> None:
    (folder / ".noteflow-hooks").mkdir()
    (folder / ".noteflow-hooks" / "up.json").write_text(json.dumps({"grpc": "127.0.0.1:7", "token": "ups"}))


@pytest.mark.parametrize(
    "line",
    [
        "--server a:1 --token t webhooks list",
        "webhooks --server a:1 --token t list",
        "webhooks list --server a:1 --token t",
        "--server b:2 --token u webhooks list --server a:1 --token t",
    ],
)
def test_server_and_token_may_stand_anywhere(line: str, addresses: list[tuple[str, str]]) -> None:
    """The last one counts."""
    run(root, line.split())
    assert addresses == [("a:1", "t")]


def test_the_environment_names_a_server_and_options_beat_it(
    addresses: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Both beat a running `up`."""
    running_up(tmp_path)
    monkeypatch.setenv(f"{PREFIX}SERVER", "b:2")
    monkeypatch.setenv(f"{PREFIX}TOKEN", "u")
    run(root, ["webhooks", "list"])
    run(root, ["webhooks", "list", "--server", "a:1"])
    assert addresses == [("b:2", "u"), ("a:1", "u")]


def test_a_running_up_is_found(addresses: list[tuple[str, str]], tmp_path: Path) -> None:
    """Its own address and token, where nothing else is given."""
    running_up(tmp_path)
    run(root, ["webhooks", "list"])
    run(root, ["webhooks", "list", "--token", "t"])
    assert addresses == [("127.0.0.1:7", "ups"), ("127.0.0.1:7", "t")]


def test_the_token_of_up_goes_to_no_other_server(
    addresses: list[tuple[str, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever runs that one could use it."""
    running_up(tmp_path)
    assert run(root, ["webhooks", "list", "--server", "a:1"]) == 1
    assert addresses == []
    assert "no token for a:1" in capsys.readouterr().err


def test_a_broken_up_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With what to do about it."""
    running_up(tmp_path)
    (tmp_path / ".noteflow-hooks" / "up.json").write_text("{")
    assert run(root, ["webhooks", "list"]) == 1
    assert "up.json holds no JSON object: remove it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "held", "says"),
    [
        ("webhooks list", {}, "up.json holds no grpc: remove it"),
        ("webhooks list", {"grpc": "x"}, "up.json holds 'x' as grpc, which is not HOST:PORT: remove it"),
        ("webhooks list", {"grpc": "127.0.0.1:7"}, "up.json holds no token: remove it"),
        ("workspaces list", {"grpc": "127.0.0.1:7"}, "up.json holds no database_url: remove it"),
        ("workspaces list", {"database_url": 7}, "up.json holds no database_url: remove it"),
    ],
)
def test_an_up_file_that_is_not_ours_is_named(
    command: str, held: dict[str, object], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever it is that a command looks for in it."""
    running_up(tmp_path)
    (tmp_path / ".noteflow-hooks" / "up.json").write_text(json.dumps(held))
    assert run(root, command.split()) == 1
    complaint = capsys.readouterr().err
    assert says in complaint
    assert complaint.count("\n") == 1
