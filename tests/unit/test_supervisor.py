"""systemd is told that a process has started and that its loop turns, where it asks to be; nobody else is."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from noteflow_hooks.concurrency.pulse import TURN_S, TURNED, Pulse
from noteflow_hooks.concurrency.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=["path", "abstract"])
def told(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A supervisor's socket, by each of the two kinds of names."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@{uuid4().hex}"
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    heard.bind(name.replace("@", "\0", 1))
    heard.settimeout(0)
    yield heard
    heard.close()


def test_a_process_says_that_it_has_started_and_at_each_turn_that_it_lives(told: socket.socket, tmp_path: Path) -> None:
    """A turn within a second says nothing; one that does not come says nothing either, and the supervisor acts."""
    pulse = Pulse()
    pulse.open(tmp_path, "worker", "celery@host")
    assert told.recv(99) == b"READY=1"
    assert told.recv(99) == b"WATCHDOG=1"
    pulse.show()
    with pytest.raises(BlockingIOError):
        told.recv(99)
    pulse.marks[TURNED] -= TURN_S
    pulse.show()
    assert told.recv(99) == b"WATCHDOG=1"
    pulse.close()


def test_a_supervisor_that_does_not_listen_holds_nobody_up(told: socket.socket) -> None:
    """Neither one whose socket is full, nor one that is gone."""
    supervisor = Supervisor()
    for _ in range(2000):
        supervisor.tell("WATCHDOG=1")
    told.close()
    supervisor.tell("WATCHDOG=1")
    supervisor.close()


def test_without_a_supervisor_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even a socket is made."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    monkeypatch.setattr(socket, "socket", pytest.fail)
    Supervisor().tell("READY=1")
