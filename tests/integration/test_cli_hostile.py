"""Every option and argument of every command is given what nobody should: a line each, and never a traceback.

The commands are found by walking click's own tree, so a new one is tested as soon as it is there.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import click
import pytest

from noteflow_hooks.cli.root import root
from noteflow_hooks.cli.support.failures import run
from noteflow_hooks.domain.deliveries import Settlement
from noteflow_hooks.persistence.memory import InMemoryDeliveryStore
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb
from noteflow_hooks.settings import PREFIX
from tests.integration.rpc.world import UNLIMITED, World
from tests.support.builders import EXACT, a_failure, a_payload
from tests.support.shares import first_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: These start servers, or look on for ever, so they are given nothing that they would take: only what is no number for
#: their numbers, and no word for their words. What `deliveries tail` is asked for, `deliveries list` is asked for, too.
ENDLESS: Final = frozenset({"bench", "dashboard", "deliveries tail", "demo", "exporter", "listen", "serve", "up"})
#: What a command needs beside the value that is tried, so that it gets as far as it can, and comes back.
NEEDED: Final = {
    "webhooks add": ["https://receiver.example/"],
    "webhooks test": ["--wait-s", "0"],
    "webhooks update": ["--name", "new"],
    "deliveries replay": ["--dry-run"],
    "events publish": ["--payload", "{}"],
    "events erase": ["--meeting", "m"],
    "tokens create": ["--workspace", str(uuid4())],
}
#: How the server is found; all commands share the code, so one of them is tried.
REMOTE: Final = frozenset({"server", "token", "tls_ca", "tls_cert", "tls_key", "insecure"})
LOOKED_AT: Final = "events list"
VALUES: Final = (
    "",
    " ",
    "-1",
    "1e999",
    "NaN",
    "9" * 400,
    "not-a-uuid",
    "\x1b[2J\x07",
    "a\r\nb",
    "\u202e",
    # Bytes of the command line that are no UTF-8, as Python hands them on.
    "\udcff\udcfe",
    "x" * 100_000,
    "--",
    "-",
    "missing/file",
    ".",
    "binary",
    "unreadable",
    "https://[",
)


def leaves(command: click.Command, names: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Yield each command with its whole name."""
    if not isinstance(command, click.Group):
        yield " ".join(names), command
        return
    for name in command.list_commands(click.Context(command)):
        found = command.get_command(click.Context(command), name)
        assert found is not None
        yield from leaves(found, (*names, name))


#: Clears a terminal, rings its bell, forges a line and turns what follows around; and as it is to be shown.
STEERING: Final = "\x1b[2J\x07\r\nforged\u202e"
WRITTEN_OUT: Final = r"\x1b[2J\x07\r\nforged\u202e"
COMMANDS: Final = dict(leaves(root))


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with World(limits=UNLIMITED) as running:
        yield running


@pytest.fixture(autouse=True)
def _environment(world: World, database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The commands find a server and a database, and bytes on standard input that are no text."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "binary").write_bytes(b"\x00\xff\xfe\n" * 100)
    (tmp_path / "unreadable").touch(mode=0)
    settings = {"SERVER": world.address, "TOKEN": world.token, "DATABASE_URL": database_url, "SECRET_KEYS": ""}
    for name, value in settings.items():
        monkeypatch.setenv(PREFIX + name, value)


def lines(name: str, command: click.Command, part: int) -> Iterator[list[str]]:
    """Yield a third of the command lines in which one option or argument has a value that nobody should give it."""
    arguments = [each for each in command.params if isinstance(each, click.Argument)]
    for place, parameter in enumerate(command.params):
        if parameter.name in REMOTE and name != LOOKED_AT:
            continue
        for value in VALUES[(part + place) % 3 :: 3]:
            if name in ENDLESS and not isinstance(parameter.type, (click.IntRange, click.Choice)):
                continue
            yield [*name.split(), *_given(parameter, value, arguments), *NEEDED.get(name, [])]


def _given(parameter: click.Parameter, value: str, arguments: list[click.Argument]) -> list[str]:
    """Return the words that give the parameter its value, and each argument before it something."""
    if isinstance(parameter, click.Option):
        words = [parameter.opts[0]] if parameter.is_flag else [parameter.opts[0], value]
        return [*words, *(str(uuid4()) for each in arguments if each.required)]
    return ["--", *(value if each is parameter else str(uuid4()) for each in arguments)]


def problem(words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str | None:
    """Run the line; return what is wrong with how it ended, or None."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe")))
    code = run(root, words)
    printed = capsys.readouterr()
    if code not in {0, 1, 2}:
        return f"exit status {code}"
    if "Traceback" in printed.err or len(printed.err.splitlines()) > 3:
        return f"complaint {printed.err[:500]!r}"
    if code and not printed.err and not ("--json" in words and tells_of_a_failure(printed.out)):
        return f"no complaint, but {printed.out[:500]!r}"
    if not (printed.out + printed.err).replace("\n", "").isprintable():
        return f"prints {printed.out[:200]!a} {printed.err[:200]!a}"
    return None


def tells_of_a_failure(printed: str) -> bool:
    """Tell whether it is a report for programs, one of whose rows says that something failed."""
    try:
        return any(row["state"] == "failed" for row in json.loads(printed))
    except (ValueError, TypeError, KeyError):
        return False


@pytest.mark.parametrize("part", first_of(range(3), 1))
@pytest.mark.parametrize("name", [name for name in COMMANDS if COMMANDS[name].params])
def test_a_command_says_in_a_line_what_it_can_not_take(
    name: str, part: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit status 2 or 1, or 0 where the value is allowed; and nothing that it prints steers the terminal."""
    said = {tuple(words): problem(words, capsys, monkeypatch) for words in lines(name, COMMANDS[name], part)}
    assert {ascii(words)[:500]: each for words, each in said.items() if each is not None} == {}


def test_a_command_and_an_option_that_are_none_are_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every level of the tree."""
    for words in (
        ["nonsense"],
        ["webhooks", "nonsense"],
        ["--nonsense"],
        ["events", "list", "--nonsense"],
        ["\x1b[2J"],
    ):
        assert problem(words, capsys, monkeypatch) is None
        assert run(root, words) == 2
        capsys.readouterr()


def test_what_others_wrote_steers_no_terminal(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """An endpoint's name, a meeting's id and title, what a receiver answered: with the escapes written out."""
    webhook = world.a_webhook(name=f"name{STEERING}")
    payload = json.dumps(a_payload(title=f"title{STEERING}", meeting_id=f"id{STEERING}"))
    request = pb.PublishEventRequest(event_type="meeting.completed", payload_json=payload, idempotency_key=STEERING)
    world.client.events.PublishEvent(request)
    delivery_id = answered(world, f"body{STEERING}")
    for words, shown in (
        (["webhooks", "list"], f"name{WRITTEN_OUT}"),
        (["webhooks", "show", webhook.id], f"name{WRITTEN_OUT}"),
        (["events", "list"], f"id{WRITTEN_OUT}"),
        # JSON has its own way to write most of it out.
        (["deliveries", "show", delivery_id], r"title\u001b[2J\u0007\r\nforged\u202e"),
        (["deliveries", "show", delivery_id], f"body{WRITTEN_OUT}"),
        (["deliveries", "list"], delivery_id),
        (["deliveries", "undelivered"], delivery_id),
    ):
        assert run(root, words) == 0
        printed = capsys.readouterr().out
        assert printed.replace("\n", "").isprintable(), words
        assert shown in printed, words


def answered(world: World, body: str) -> str:
    """Do what a worker does whose receiver answers 500 with that body; return the delivery's id."""
    store = InMemoryDeliveryStore(world.store)
    [delivery_id] = store.dispatch([], limit=1).delivery_ids
    [claim] = store.claim([delivery_id], limit=1, lease_slack=timedelta(seconds=10))
    result = a_failure(response_body=body)
    after, _ = claim.delivery.attempted(result, max_retries=1, policy=EXACT, draw=0.5)
    store.settle([Settlement(after, attempt=result)])
    return str(delivery_id)


@pytest.mark.parametrize(
    "words",
    [
        [b"webhooks", b"show", b"\xff\xfe"],
        [b"webhooks", b"add", b"https://h.example/", b"--headers-file", b"."],
        [b"workspaces", b"create", b"\x1b[2J\xff"],
    ],
)
def test_so_it_is_of_real_processes(words: list[bytes]) -> None:
    """Bytes that are no text reach them as the kernel hands them on."""
    ended = subprocess.run(
        [sys.executable, "-m", "noteflow_hooks.cli", *words], capture_output=True, timeout=180, check=False
    )
    assert ended.returncode in {1, 2}
    assert b"Traceback" not in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert b"\x1b" not in ended.stderr
