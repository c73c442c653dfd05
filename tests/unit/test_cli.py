"""The command line itself: exit codes, one line for each thing that is wrong, and where a server is looked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import click
import pytest

from noteflow_hooks import __version__
from noteflow_hooks.cli import remote
from noteflow_hooks.cli.failures import run
from noteflow_hooks.cli.root import COMMANDS, root
from noteflow_hooks.errors import NoteFlowHooksError, UnavailableError
from noteflow_hooks.settings import PREFIX

if TYPE_CHECKING:
    from pathlib import Path

HEAVY = ("grpc", "sqlalchemy", "celery", "pydantic", "noteflow_hooks.embedded")


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No `.env`, no settings, no running `up`."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ("nonsense", 2, "no command 'nonsense'; there are: demo, up, serve"),
        ("webhooks nonsense", 2, "no command 'nonsense'; there are: add, disable, enable, list"),
        ("webhooks list --nonsense", 2, "No such option '--nonsense'"),
        ("webhooks show", 2, "Missing argument 'ID'"),
        ("webhooks add https://a.example --secret x --unsigned", 2, "only one of --secret, --generate-secret"),
        ("webhooks add https://a.example --timeout-ms 99", 2, "99 is not in the range 100<=x<=30000"),
        ("webhooks update 1 --server a:1 --token t", 2, "nothing to change: give --url"),
        ("webhooks list --server a --token t", 2, "--server is 'a'; it must be HOST:PORT"),
        ("webhooks list --server a:1 --token ü", 2, "--token holds characters that no token has"),
        ("webhooks list", 1, "no server is named: give --server and --token, or start `noteflow-hooks up`"),
        ("webhooks list --server a:1", 1, "no token for a:1: give --token, or set NOTEFLOW_HOOKS_TOKEN"),
        ("deliveries list --status x", 2, "'x' is not one of 'pending', 'sending', 'succeeded', 'dead', 'skipped'"),
        ("deliveries list --since x", 2, "'x' is no time; allowed: 2026-01-31T12:00:00Z"),
        ("events publish x --payload {}", 2, "'x' is not one of 'meeting.completed'"),
        ("workspaces list", 1, "no database is named: set NOTEFLOW_HOOKS_DATABASE_URL"),
        ("tokens create --workspace x", 2, "'x' is not a valid UUID"),
        ("migrate", 1, "no database is named"),
        ("serve", 1, "NOTEFLOW_HOOKS_DATABASE_URL is not set; it must hold a URL such as postgresql://"),
        ("listen --secret short", 2, "secret: must be whsec_"),
        ("up --workers 0", 2, "0 is not in the range 1<=x<=32"),
    ],
)
def test_what_is_wrong_is_one_line(line: str, code: int, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It names what was given and what is allowed; the exit code tells wrong use from failure."""
    assert run(root, line.split()) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("noteflow-hooks: ")
    assert says in printed.err
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize("command", ["up", "webhooks list", "workspaces list", "serve"])
def test_a_bad_setting_is_one_line(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever command reads it."""
    monkeypatch.setenv(f"{PREFIX}RETRY_CAP_S", "soon")
    assert run(root, command.split()) == 1
    assert capsys.readouterr().err == (
        "noteflow-hooks: NOTEFLOW_HOOKS_RETRY_CAP_S is 'soon'; it may hold a number of seconds above 0\n"
    )


def test_a_group_without_a_command_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    """That is wrong use, and the help says what is right."""
    assert run(root, ["webhooks"]) == 2
    assert "Usage: noteflow-hooks webhooks" in capsys.readouterr().err


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    """The same that `User-Agent` names."""
    assert run(root, ["--version"]) == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each module has its command."""
    assert run(root, [name, "--help"]) == 0
    assert f"Usage: noteflow-hooks {name}" in capsys.readouterr().out


def test_help_imports_nothing_heavy() -> None:
    """So that it is there at once."""
    code = (
        "import sys; from noteflow_hooks.cli.failures import run; from noteflow_hooks.cli.root import root;"
        f"run(root, ['--help']); sys.exit(','.join(set({HEAVY!r}) & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.stderr.strip() == ""
    assert "deliveries" in ended.stdout


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NoteFlowHooksError("no"), 1),
        (UnavailableError("no"), 1),
        (OSError("no"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_expected_errors_have_no_traceback(error: BaseException, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    """An interrupted command says nothing at all."""

    @click.command()
    def fails() -> None:
        raise error

    assert run(fails, []) == code
    assert capsys.readouterr().err.strip() == ("noteflow-hooks: no" if str(error) else "")


def test_a_reader_that_has_left_is_no_error_to_tell_of() -> None:
    """As with ``noteflow-hooks deliveries list | head -0``."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "noteflow_hooks.cli", "--help"]
    ended = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (1, b"")


def test_our_own_faults_are_not_hidden() -> None:
    """They keep their traceback."""

    @click.command()
    def fails() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(fails, [])


def test_text_that_is_no_utf_8_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    """Python hands such bytes on as lone surrogates."""
    assert run(root, ["webhooks", "add", "https://a.example/\udcff", "--server", "a:1", "--token", "t"]) == 2
    assert "not valid UTF-8" in capsys.readouterr().err


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
