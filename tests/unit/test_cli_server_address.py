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

    def connect(server: str, token: str, **_: object) -> None:
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


def test_an_env_file_counts_for_server_and_token_too(addresses: list[tuple[str, str]], tmp_path: Path) -> None:
    """As for every other setting; it beats a running `up`, and options beat it."""
    running_up(tmp_path)
    (tmp_path / ".env").write_text(f"{PREFIX}SERVER=b:2\n{PREFIX}TOKEN=u\n{PREFIX}INSECURE=\n")
    run(root, ["webhooks", "list"])
    run(root, ["webhooks", "list", "--server", "a:1"])
    assert addresses == [("b:2", "u"), ("a:1", "u")]


@pytest.mark.parametrize(
    ("bind", "asked"), [("127.0.0.1:7001", "127.0.0.1:7001"), ("0.0.0.0:7001", "127.0.0.1:7001"), ("[::]:7", "[::1]:7")]
)
def test_where_nothing_is_named_the_server_of_this_machine_is_called(
    bind: str, asked: str, addresses: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """That of `up`, else the one at GRPC_BIND, or at its default."""
    monkeypatch.setenv(f"{PREFIX}TOKEN", "t")
    run(root, ["webhooks", "list"])
    monkeypatch.setenv(f"{PREFIX}GRPC_BIND", bind)
    run(root, ["webhooks", "list"])
    running_up(tmp_path)
    run(root, ["webhooks", "list"])
    assert addresses == [("127.0.0.1:50051", "t"), (asked, "t"), ("127.0.0.1:7", "t")]


def test_a_server_at_grpc_bind_without_a_token_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A server is named there."""
    monkeypatch.setenv(f"{PREFIX}GRPC_BIND", "127.0.0.1:7001")
    assert run(root, ["webhooks", "list"]) == 1
    assert capsys.readouterr().err == (
        "noteflow-hooks: no token for 127.0.0.1:7001: give --token, or set NOTEFLOW_HOOKS_TOKEN\n"
    )


def test_health_asks_the_server_of_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where no address is given, as every other command does; else the one at GRPC_BIND."""
    asked: list[str] = []
    monkeypatch.setattr("noteflow_hooks.cli.commands.health.check_serving", lambda where, **_: asked.append(where))
    monkeypatch.setenv(f"{PREFIX}GRPC_BIND", "0.0.0.0:7001")
    assert run(root, ["health"]) == 0
    running_up(tmp_path)
    assert run(root, ["health"]) == 0
    assert run(root, ["health", "127.0.0.1:9"]) == 0
    assert asked == ["127.0.0.1:7001", "127.0.0.1:7", "127.0.0.1:9"]


@pytest.mark.usefixtures("addresses")
def test_a_variable_that_is_no_setting_is_told_of_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the nearest one; in the environment as in `.env`."""
    monkeypatch.setenv(f"{PREFIX}SERVR", "a:1")
    (tmp_path / ".env").write_text(f"{PREFIX}TOKEN=t\n{PREFIX}RETRY_CAP=9\nFLOWER_USER=x\n")
    run(root, ["webhooks", "list"])
    assert capsys.readouterr().err.splitlines()[:-1] == [
        (
            "noteflow-hooks: warning: NOTEFLOW_HOOKS_RETRY_CAP is no setting and is ignored; "
            "the nearest is NOTEFLOW_HOOKS_RETRY_CAP_S"
        ),
        (
            "noteflow-hooks: warning: NOTEFLOW_HOOKS_SERVR is no setting and is ignored; "
            "the nearest is NOTEFLOW_HOOKS_SERVER"
        ),
    ]


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


@pytest.mark.parametrize("line", ["webhooks list --token t --server unix:", "health bogus", "health unix:", "health 7"])
def test_what_is_no_address_is_wrong_use(
    line: str, addresses: list[tuple[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is called, and the line says what an address is."""
    assert run(root, line.split()) == 2
    assert "it must be HOST:PORT, such as 127.0.0.1:50051" in capsys.readouterr().err
    assert not addresses


@pytest.mark.parametrize(
    "line",
    ["deliveries replay --yes --event-type", "deliveries list --event-type", "events list --meeting"],
)
def test_an_empty_filter_is_refused(
    line: str, addresses: list[tuple[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    """A script's unset variable must not mean everything, least of all to a replay."""
    assert run(root, [*line.split(), "", "--server", "a:1", "--token", "t"]) == 2
    assert "it is empty" in capsys.readouterr().err
    assert not addresses


def test_an_env_file_that_is_no_text_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever reads the line must know which file to mend."""
    (tmp_path / ".env").write_bytes(b"\xff\xfe")
    assert run(root, ["webhooks", "list"]) == 1
    assert ".env is not UTF-8 text: its byte 0" in capsys.readouterr().err
