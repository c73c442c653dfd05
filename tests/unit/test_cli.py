"""The command line itself: exit codes, one line for each thing that is wrong, and where a server is looked for."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
from contextlib import nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING

import click
import pytest

from noteflow_hooks import __version__
from noteflow_hooks.cli.root import COMMANDS, root
from noteflow_hooks.cli.support import remote
from noteflow_hooks.cli.support.failures import run
from noteflow_hooks.errors import NoteFlowHooksError, UnavailableError
from noteflow_hooks.local.children.process import FolderLock
from noteflow_hooks.local.stack.ports import free_address
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.settings import PREFIX

if TYPE_CHECKING:
    from pathlib import Path

HEAVY = ("grpc", "sqlalchemy", "celery", "pydantic", "noteflow_hooks.local.servers")


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No `.env`, no settings, no running `up`."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(PREFIX) or name == "WEBHOOK_SECRET"]:
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
        ("webhooks list --server http://a:1 --token t", 2, "--server is 'http://a:1'; it must be HOST:PORT"),
        ("webhooks list --server a:65536 --token t", 2, "--server is 'a:65536'; it must be HOST:PORT"),
        ("webhooks list --server no-such-host.invalid:1 --token t --insecure", 1, "no server answers at no-such-host"),
        (
            "webhooks list --server a:1 --token t",
            1,
            "a:1 may be another machine, where a token does not go unencrypted",
        ),
        (
            "webhooks list --server 127.0.0.1.nip.io:1 --token t",
            1,
            "give --tls-ca FILE or --tls-ca system, or --insecure",
        ),
        ("webhooks list --server a:1 --token t --tls-ca /no", 2, "--tls-ca: /no can't be read: No such file"),
        ("webhooks list --server a:1 --token t --tls-ca system --tls-key /no", 2, "only one of them is given"),
        ("webhooks list --server a:1 --token t --tls-cert /no --tls-key /no", 2, "--tls-cert needs --tls-ca"),
        ("webhooks list --server a:1 --token ü", 2, "--token holds characters that no token has"),
        ("webhooks list", 1, "no server is named: give --server and --token, or start `noteflow-hooks up`"),
        ("webhooks list --server a:1", 1, "no token for a:1: give --token, or set NOTEFLOW_HOOKS_TOKEN"),
        ("deliveries list --status x", 2, "'x' is not one of 'pending', 'sending', 'succeeded', 'dead', 'skipped'"),
        ("deliveries list --since x", 2, "'x' is no time; allowed: 2026-01-31T12:00:00Z"),
        ("deliveries list --since 0001-01-01T00:00:00+14:00", 2, "'0001-01-01T00:00:00+14:00' is no time; allowed:"),
        ("deliveries list --until 9999-12-31T23:59:59-14:00", 2, "'9999-12-31T23:59:59-14:00' is no time; allowed:"),
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
        "import sys; from noteflow_hooks.cli.support.failures import run; from noteflow_hooks.cli.root import root;"
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


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [("--version", 0, ""), ("webhooks list", 1, "noteflow-hooks: no server is named")],
)
def test_a_closed_output_is_no_error(line: str, code: int, says: str) -> None:
    """As with ``noteflow-hooks deliveries list >&-``, where Python has no ``sys.stdout``."""
    command = f"exec {sys.executable} -m noteflow_hooks.cli {line} >&-"
    ended = subprocess.run(["/bin/sh", "-c", command], stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == code
    assert ended.stderr.startswith(says)
    assert ended.stderr.count("\n") == bool(says)


def test_a_command_that_is_done_can_not_be_interrupted() -> None:
    """Python's own end would show a traceback for it."""
    code = (
        "import atexit, signal, sys; atexit.register(signal.raise_signal, signal.SIGINT);"
        "from noteflow_hooks.cli import main; sys.argv = ['noteflow-hooks', '--version']; main()"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


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


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder of an `up` that must not come so far that it starts anything."""

    def start(*_: object, **__: object) -> None:
        raise UnavailableError("started")

    monkeypatch.setattr("noteflow_hooks.local.stack.System.start", start)
    monkeypatch.setenv(f"{PREFIX}DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def refusal_of_up(capsys: pytest.CaptureFixture[str]) -> str:
    """What `up` says when it starts nothing."""
    assert run(root, ["up"]) == 1
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    return printed.err.removeprefix("noteflow-hooks: ").rstrip()


def test_up_says_at_once_that_it_starts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It takes seconds until there is more to say."""
    assert run(root, ["up"]) == 1
    assert capsys.readouterr().out.startswith("starting PostgreSQL")
    assert folder.is_dir()


def test_a_data_folder_that_is_none_is_named_with_its_setting(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With what is there instead."""
    folder.touch()
    assert refusal_of_up(capsys) == f"{PREFIX}DATA_DIR is '{folder}': {folder} is no folder"


def test_a_data_folder_that_can_not_be_made_is_named_with_its_setting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the reason: nobody can make a folder there."""
    monkeypatch.setenv(f"{PREFIX}DATA_DIR", "/proc/x")
    assert refusal_of_up(capsys).startswith(f"{PREFIX}DATA_DIR is '/proc/x': /proc/x can't be made or used: ")


def test_a_data_folder_in_use_is_named_with_its_setting(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Since that is what one changes."""
    folder.mkdir()
    lock = FolderLock(folder)
    lock.acquire()
    assert refusal_of_up(capsys).endswith(f"or name another folder in {PREFIX}DATA_DIR")
    lock.release()


@pytest.mark.parametrize(
    ("name", "held", "says"),
    [
        ("secret_keys", b"", "secret_keys holds no key any more"),
        ("secret_keys", b"short", "secret_keys holds no key any more"),
        ("secret_keys", b"\xff", "secret_keys holds no key any more"),
        ("state.json", b'{"grpc": "x"}', "state.json holds 'x' as grpc, which is not HOST:PORT"),
        ("state.json", b'{"grpc": 7}', "state.json holds no grpc"),
    ],
)
def test_what_up_has_kept_and_is_damaged_is_named(
    name: str, held: bytes, says: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything starts."""
    folder.mkdir()
    (folder / name).write_bytes(held)
    assert f"{folder}/{says}" in refusal_of_up(capsys)


@pytest.mark.usefixtures("folder")
def test_an_address_where_up_can_not_listen_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Here, and not in the log of a server that dies."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv(f"{PREFIX}GRPC_BIND", bind)
        assert refusal_of_up(capsys) == (f"{PREFIX}GRPC_BIND is '{bind}': can't listen there: Address already in use")
    monkeypatch.setenv(f"{PREFIX}GRPC_BIND", "192.0.2.1:7000")
    assert refusal_of_up(capsys).startswith(f"{PREFIX}GRPC_BIND is '192.0.2.1:7000': can't listen there: ")


@pytest.mark.usefixtures("folder")
def test_up_listens_where_this_machine_alone_reaches_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It speaks no TLS, also where the settings have a certificate for `serve`; plaintext must be asked for."""
    monkeypatch.setenv(f"{PREFIX}GRPC_BIND", f"0.0.0.0:{free_address().rpartition(':')[2]}")
    monkeypatch.setenv(f"{PREFIX}GRPC_TLS_CERT", "/none")
    assert "others than this machine may reach that, and `up` speaks no TLS" in refusal_of_up(capsys)
    monkeypatch.setenv(f"{PREFIX}GRPC_INSECURE_PLAINTEXT", "true")
    assert run(root, ["up"]) == 1
    assert capsys.readouterr().err == "noteflow-hooks: started\n"


def test_an_answer_shows_its_fields_in_the_protos_order() -> None:
    """At every depth, those without a value too."""
    shown = remote.shown(pb.TestWebhookResponse(delivery=pb.Delivery(status="dead", attempts=[pb.Attempt()])))
    for row, kind in ((shown["delivery"], pb.Delivery), (shown["delivery"]["attempts"][0], pb.Attempt)):
        order = [field.name for field in kind.DESCRIPTOR.fields]
        assert list(row) == sorted(row, key=order.index)


def registering(line: str, monkeypatch: pytest.MonkeyPatch) -> pb.RegisterWebhookRequest:
    """What `webhooks add` asks the server for."""
    asked: list[pb.RegisterWebhookRequest] = []

    def register(request: pb.RegisterWebhookRequest) -> pb.Webhook:
        asked.append(request)
        return pb.Webhook()

    server = SimpleNamespace(webhooks=SimpleNamespace(RegisterWebhook=register))
    monkeypatch.setattr(remote, "connect", lambda *_: nullcontext(server))
    assert run(root, f"webhooks add https://a.example --server a:1 --token t {line}".split()) == 0
    [request] = asked
    return request


def test_a_secret_need_not_stand_on_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes from standard input or from the environment, which the options beat."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"from stdin\n")))
    assert registering("--secret -", monkeypatch).secret == "from stdin"
    monkeypatch.setenv("WEBHOOK_SECRET", "from-env")
    assert registering("", monkeypatch).secret == "from-env"
    assert registering("--secret given", monkeypatch).secret == "given"
    assert not registering("--unsigned", monkeypatch).HasField("secret")
    assert registering("--generate-secret", monkeypatch).generate_secret
