"""The command line itself: exit codes, one line for each thing that is wrong, help, and what it reads and prints."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import nullcontext
from types import SimpleNamespace

import click
import pytest

from noteflow_hooks import __version__
from noteflow_hooks.cli.root import COMMANDS, root
from noteflow_hooks.cli.support import remote
from noteflow_hooks.cli.support.failures import run
from noteflow_hooks.errors import NoteFlowHooksError, UnavailableError
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.settings import PREFIX

HEAVY = ("grpc", "sqlalchemy", "celery", "pydantic", "noteflow_hooks.local.servers")

pytestmark = pytest.mark.usefixtures("no_settings")


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ("nonsense", 2, "no command 'nonsense'; there are: demo, up, serve"),
        (
            "webhooks nonsense",
            2,
            "no command 'nonsense'; there are: add, confirm-contact, disable, enable, filter-test",
        ),
        ("webhooks list --nonsense", 2, "No such option '--nonsense'"),
        ("webhooks show", 2, "Missing argument 'NAME|ID'"),
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
        ("webhooks list", 1, "no server is named: give --server and --token, or start `noteflow-hooks up`; one that"),
        ("webhooks list --server a:1", 1, "no token for a:1: give --token, or set NOTEFLOW_HOOKS_TOKEN"),
        ("deliveries list --status x", 2, "'x' is not one of 'pending', 'sending', 'succeeded', 'dead', 'skipped'"),
        ("deliveries list --since x", 2, "'x' is no time; allowed: 2026-01-31T12:00:00Z"),
        ("deliveries list --since 0001-01-01T00:00:00+14:00", 2, "'0001-01-01T00:00:00+14:00' is no time; allowed:"),
        ("deliveries list --until 9999-12-31T23:59:59-14:00", 2, "'9999-12-31T23:59:59-14:00' is no time; allowed:"),
        ("events publish x --payload {}", 2, "'x' is none of meeting.completed"),
        ("workspaces list", 1, "no database is named: set NOTEFLOW_HOOKS_DATABASE_URL"),
        ("tokens create --workspace x", 1, "no database is named"),
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
    monkeypatch.setattr(remote, "connect", lambda *_, **__: nullcontext(server))
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
