"""Following a replay: what a terminal sees, what a file gets, and a server that goes away meanwhile."""

from __future__ import annotations

import io
from contextlib import nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from noteflow_hooks.cli.support import following
from noteflow_hooks.errors import NotFoundError, UnavailableError
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

if TYPE_CHECKING:
    from noteflow_hooks.client import Client

GONE = UnavailableError("no server answers")


class Terminal(io.StringIO):
    """Where lines can be written anew."""

    def isatty(self) -> bool:
        """Say that it is one."""
        return True


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long each look takes, and the time that has passed."""
    passed = [1.0, 0.0]

    def instead_of_sleeping(_: float) -> None:
        passed[1] += passed[0]

    monkeypatch.setattr(following, "time", SimpleNamespace(sleep=instead_of_sleeping, monotonic=lambda: passed[1]))
    return passed


def a_replay(sent: int, state: str = "running") -> pb.Replay:
    return pb.Replay(id="r-1", state=state, matched=1000, sent=sent)


def followed(*answers: pb.Replay | Exception) -> pb.Replay:
    """Follow a replay that the server tells so of, look after look."""
    left = iter(answers)

    def answer(request: pb.GetReplayRequest) -> pb.Replay:
        assert request.replay_id == "r-1"
        each = next(left)
        if isinstance(each, Exception):
            raise each
        return each

    def connect() -> Client:
        server = SimpleNamespace(webhooks=SimpleNamespace(GetReplay=answer))
        return nullcontext(server)  # type: ignore[return-value]  # as much of one as is used

    return following.follow(connect, a_replay(0))


def test_a_terminal_sees_one_line_that_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shorter text leaves nothing of a longer one."""
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    ended = followed(a_replay(500), a_replay(1000, "done"))
    assert ended.state == "done"
    assert terminal.getvalue().endswith("\n")
    assert terminal.getvalue().count("\n") == 1
    first, second, last = terminal.getvalue().removesuffix("\n").split("\r")[1:]
    assert first == "replay r-1 is running: 0 of 1000 made due"
    assert second == "replay r-1 is running: 500 of 1000 made due"
    assert last == f"{'replay r-1 is done: 1000 of 1000 made due':<{len(second)}}"


def test_a_file_gets_a_line_now_and_then(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    """Every ten seconds, and one for the end."""
    clock[0] = 4.0
    followed(*(a_replay(sent) for sent in range(100, 600, 100)), a_replay(1000, "done"))
    said = [line.partition(": ")[2] for line in capsys.readouterr().err.splitlines()]
    assert said == ["0 of 1000 made due", "300 of 1000 made due", "1000 of 1000 made due"]


def test_a_server_that_goes_away_is_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    """That is said once each time: the replay goes on meanwhile."""
    assert followed(GONE, GONE, a_replay(10), GONE, a_replay(1000, "done")).sent == 1000
    waits = "noteflow-hooks: no server answers; waiting for it"
    assert [line for line in capsys.readouterr().err.splitlines() if "replay" not in line] == [waits, waits]


def test_what_a_terminal_shows_is_left_before_anything_else_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each on a line of its own."""
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with pytest.raises(NotFoundError):
        followed(GONE, a_replay(10), NotFoundError("gone"))
    lines = terminal.getvalue().replace("\r", "").split("\n")
    assert lines == [
        "replay r-1 is running: 0 of 1000 made due",
        "noteflow-hooks: no server answers; waiting for it",
        "replay r-1 is running: 10 of 1000 made due",
        "",
    ]


def test_a_closed_stderr_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with ``2>&-``, where Python has none."""
    monkeypatch.setattr("sys.stderr", None)
    assert followed(a_replay(1000, "done")).state == "done"
