"""`events erase`, against a real gRPC server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from noteflow_hooks.cli.root import root
from noteflow_hooks.cli.support.failures import run
from noteflow_hooks.settings import PREFIX
from tests.integration.rpc.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    #: Runs a command line and returns its exit code, what it printed, and what it complained of.
    Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def world() -> Iterator[World]:
    """Offer a running server."""
    with World() as running:
        yield running


@pytest.fixture
def command(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Command:
    """The command line, with the server and a token of its workspace."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(f"{PREFIX}SERVER", world.address)
    monkeypatch.setenv(f"{PREFIX}TOKEN", world.token)

    def call(*words: str) -> tuple[int, str, str]:
        code = run(root, words)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def test_a_meetings_payloads_are_erased(world: World, command: Command) -> None:
    """The counts are printed, and `events list` shows since when there is no payload."""
    meeting = world.a_meeting()
    world.stop_meeting(meeting.id)
    assert command("events", "erase", "--meeting", meeting.id) == (0, "events   1\nskipped  0\n", "")
    [event] = json.loads(command("events", "list", "--json")[1])
    assert (event["payload"], "payload_erased_at" in event) == ("{}", True)


def test_the_counts_can_be_had_as_json(world: World, command: Command) -> None:
    """And nothing is an answer too."""
    meeting = world.a_meeting()
    code, printed, complaint = command("events", "erase", "--meeting", meeting.id, "--json")
    assert (code, json.loads(printed), complaint) == (0, {"events": 0, "skipped": 0}, "")


@pytest.mark.parametrize(
    ("words", "line"),
    [([], "--meeting"), (["--meeting", ""], "meeting_id: must not be empty")],
)
def test_a_meeting_has_to_be_named(command: Command, words: list[str], line: str) -> None:
    """One line says what is missing."""
    code, printed, complaint = command("events", "erase", *words)
    assert (code, printed) == (2, "")
    assert line in complaint


def test_the_help_says_what_stays(command: Command) -> None:
    """Whoever erases must know that the meeting's own rows are no part of it."""
    code, printed, _ = command("events", "erase", "--help")
    assert code == 0
    assert "The meeting itself stays as it is" in " ".join(printed.split())
