"""What `webhooks add` and `webhooks update` ask the server for, and what they refuse without repeating it."""

from __future__ import annotations

import io
import shlex
import sys
from contextlib import nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from noteflow_hooks.cli.root import root
from noteflow_hooks.cli.support import remote
from noteflow_hooks.cli.support.failures import run
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Request: TypeAlias = pb.RegisterWebhookRequest | pb.UpdateWebhookRequest
    #: Runs a command line of `webhooks` and returns its exit code and what it asked the server for.
    Ask: TypeAlias = Callable[[str], tuple[int, Request | None]]

ADD = "add https://a.example"
UPDATE = "update 00000000-0000-0000-0000-000000000001"
CANARY = "c4n4ry-of-a-header"


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ask:
    """Stand for a server that takes whatever it is asked."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WEBHOOK_SECRET", raising=False)
    asked: list[Request] = []

    def answer(request: Request) -> pb.Webhook:
        asked.append(request)
        return pb.Webhook()

    server = SimpleNamespace(webhooks=SimpleNamespace(RegisterWebhook=answer, UpdateWebhook=answer))
    monkeypatch.setattr(remote, "connect", lambda *_, **__: nullcontext(server))

    def call(line: str) -> tuple[int, Request | None]:
        asked.clear()
        code = run(root, ["webhooks", *shlex.split(line), "--server", "a:1", "--token", "t"])
        return code, asked[0] if asked else None

    return call


def sent_headers(answer: tuple[int, Request | None]) -> list[tuple[str, str]]:
    code, request = answer
    assert code == 0
    assert request is not None
    return [(each.name, each.value) for each in request.headers]


@pytest.mark.parametrize("command", [ADD, UPDATE])
def test_headers_are_given_one_by_one(ask: Ask, command: str) -> None:
    """Split at the first colon, the spaces around the value left out, the rest as it is."""
    line = f"{command} --header 'Authorization: Bearer a:b ' --header X-A:1 --header 'X-B:\t2  3'"
    assert sent_headers(ask(line)) == [("Authorization", "Bearer a:b"), ("X-A", "1"), ("X-B", "2  3")]


@pytest.mark.parametrize("command", [ADD, UPDATE])
def test_headers_need_not_stand_on_the_command_line(
    ask: Ask, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They come from a file or from standard input, one a line, whatever ends the lines."""
    (tmp_path / "headers").write_bytes(b"Authorization: Bearer x\r\n\r\nX-B: 2\n")
    expected = [("Authorization", "Bearer x"), ("X-B", "2")]
    assert sent_headers(ask(f"{command} --headers-file headers")) == expected
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"X-C: 3")))
    assert sent_headers(ask(f"{command} --header 'X-A: 1' --headers-file -")) == [("X-A", "1"), ("X-C", "3")]


def test_no_option_asks_for_nothing(ask: Ask) -> None:
    """No headers, and no limits: zero would be another thing."""
    _, request = ask(ADD)
    assert isinstance(request, pb.RegisterWebhookRequest)
    assert not request.headers
    assert not request.HasField("rate_limit_per_s")
    assert not request.HasField("max_concurrency")


@pytest.mark.parametrize(
    ("line", "paths", "expected"),
    [
        ("--header X-A:1", ["headers"], {"headers": [pb.Header(name="X-A", value="1")]}),
        ("--no-headers", ["headers"], {}),
        ("--rate-limit-per-s 0.5", ["rate_limit_per_s"], {"rate_limit_per_s": 0.5}),
        ("--no-rate-limit", ["rate_limit_per_s"], {}),
        ("--max-concurrency 3", ["max_concurrency"], {"max_concurrency": 3}),
        ("--no-max-concurrency", ["max_concurrency"], {}),
        ("--events '' --no-headers --max-retries 2", ["events", "headers", "max_retries"], {"max_retries": 2}),
    ],
)
def test_a_change_names_what_it_changes_alone(
    ask: Ask,
    line: str,
    paths: list[str],
    expected: dict[str, Any],  # the message's own fields
) -> None:
    """What is taken away is named without a value."""
    _, request = ask(f"{UPDATE} {line}")
    assert isinstance(request, pb.UpdateWebhookRequest)
    assert sorted(request.update_mask.paths) == paths
    del request.update_mask.paths[:]
    request.ClearField("update_mask")
    assert request == pb.UpdateWebhookRequest(webhook_id=UPDATE.split()[1], **expected)


@pytest.mark.parametrize(("command", "paused"), [("pause", True), ("resume", False)])
def test_a_pause_is_a_change_of_one_field(ask: Ask, command: str, *, paused: bool) -> None:
    """In both directions."""
    _, request = ask(f"{command} 00000000-0000-0000-0000-000000000001")
    assert isinstance(request, pb.UpdateWebhookRequest)
    assert (list(request.update_mask.paths), request.paused) == (["paused"], paused)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (f"{ADD} --header {CANARY}", "Invalid value for '--header': 'Name: value' is needed, with a colon"),
        (f"{ADD} --headers-file broken", "Invalid value for '--headers-file': line 3: 'Name: value' is needed"),
        (f"{ADD} --headers-file empty", "Invalid value for '--headers-file': it holds no header"),
        (f"{ADD} --headers-file latin", "Invalid value for '--headers-file': it is not valid UTF-8 text"),
        (f"{ADD} --headers-file none", "can't read 'none': No such file or directory"),
        (f"{ADD} --headers-file .", "can't read '.': Is a directory"),
        (f"{ADD} --rate-limit-per-s 0", "0.0 is not in the range 0.01<=x<=1000"),
        (f"{ADD} --max-concurrency 1001", "1001 is not in the range 1<=x<=1000"),
        (f"{UPDATE} --no-headers --header X:{CANARY}", "--no-headers can't be given together with --header or"),
        (f"{UPDATE} --no-rate-limit --rate-limit-per-s 1", "--no-rate-limit can't be given together with --rate-limi"),
        (f"{UPDATE} --max-concurrency 1 --no-max-concurrency", "--no-max-concurrency can't be given together with"),
        (UPDATE, "nothing to change: give --url, --events, --name or another option"),
    ],
)
def test_what_is_wrong_is_one_line(
    ask: Ask, line: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which repeats no header: it may hold a secret. Nothing is asked of the server."""
    (tmp_path / "broken").write_text(f"X-A: 1\n\nBearer {CANARY}\n")
    (tmp_path / "empty").write_text("\n \n")
    (tmp_path / "latin").write_bytes(b"X-A: \xe9\n")
    code, request = ask(line)
    printed, complaint = capsys.readouterr()
    assert (code, request, printed, complaint.count("\n")) == (2, None, "", 1)
    assert says in complaint
    assert CANARY not in complaint


def test_a_closed_standard_input_is_one_line_too(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As for every option that reads it."""
    monkeypatch.setattr(sys, "stdin", None)
    assert ask(f"{ADD} --headers-file -") == (2, None)
    assert "- stands for standard input, which is closed" in capsys.readouterr().err
