"""What `--help` says: an example for every command, and how a server is reached at the end."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import click
import pytest
from click.shell_completion import BashComplete

from noteflow_hooks.cli.root import COMMANDS, root
from noteflow_hooks.cli.support.failures import run
from noteflow_hooks.cli.support.helping import ConnectionOption

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def paths(command: click.Command, *above: str) -> Iterator[tuple[str, ...]]:
    """All command lines that have a help of their own."""
    yield above
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from paths(found, *above, name)


def helped(line: Sequence[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert run(root, [*line, "--help"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("line", list(paths(root)), ids=" ".join)
def test_every_commands_help_has_an_example_that_parses(
    line: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line to copy, with commands and options that there are, and whole however narrow the terminal."""
    monkeypatch.setattr("noteflow_hooks.cli.support.options.standard_input", lambda: "a-secret-of-mine")
    shown = helped(line, capsys)
    found = re.search(r"^Examples?:\n((?:  noteflow-hooks .*\n)+)", shown, re.MULTILINE)
    assert found is not None
    for example in found[1].splitlines():
        words = shlex.split(example.partition(" < ")[0])[1:]
        parsed(root, words)
        assert words[: len(line)] == list(line)


def parsed(command: click.Command, words: list[str]) -> None:
    """Parse a command line as click does, down to its last command, and run nothing."""
    context = command.make_context("x", list(words))
    if isinstance(command, click.Group):
        rest = [*context._protected_args, *context.args]  # noqa: SLF001 - where click keeps a group's rest
        _, inner, after = command.resolve_command(context, rest)
        assert inner is not None
        parsed(inner, after)


@pytest.mark.parametrize("line", list(paths(root)), ids=" ".join)
def test_how_a_server_is_reached_stands_at_the_end(line: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """In a group of its own, where it is not in the way of the command's own options."""
    command: click.Command = root
    for word in line:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), word)
        assert found is not None
        command = found
    shown = helped(line, capsys)
    names = [each.opts[0] for each in command.params if isinstance(each, ConnectionOption)]
    own, _, last = shown.partition("\nConnection options:\n")
    assert [name for name in names if f"  {name} " in own] == []
    assert re.findall(r"^  (--[a-z-]+)", last, re.MULTILINE) == names
    # The dashboard takes no token: each of its visitors has one.
    assert len(names) == 5 if line == ("dashboard",) else len(names) in (0, 6)


def test_publishing_names_the_types_and_their_fields(capsys: pytest.CaptureFixture[str]) -> None:
    """With what each takes: nobody has to be refused to learn of them."""
    shown = " ".join(helped(("events", "publish"), capsys).split())
    assert "recording.started meeting_id (text), title (text) recording.stopped" in shown
    assert "duration_seconds (a number), segment_count (a whole number), has_summary (true or false)" in shown


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_help_says_how_a_shell_completes(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In a line to copy."""
    assert f"_NOTEFLOW_HOOKS_COMPLETE={shell}_source noteflow-hooks" in helped((), capsys)


@pytest.mark.parametrize(
    ("words", "incomplete", "completed"),
    [
        ([], "del", ["deliveries"]),
        ([], "", list(COMMANDS)),
        (["deliveries"], "re", ["replay", "replay-cancel", "replay-status", "replays", "retry"]),
        (["deliveries", "list"], "--st", ["--status", "--status-code"]),
        (["deliveries", "list", "--status"], "s", ["sending", "skipped", "succeeded"]),
    ],
)
def test_commands_and_options_are_completed(words: list[str], incomplete: str, completed: list[str]) -> None:
    """As a shell asks for it."""
    found = BashComplete(root, {}, "noteflow-hooks", "_NOTEFLOW_HOOKS_COMPLETE").get_completions(words, incomplete)
    assert sorted(each.value for each in found) == sorted(completed)
