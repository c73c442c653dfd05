"""Follows a replay until it has ended, on stderr; a server that goes away is waited for, since the workers go on."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final

import click

from noteflow_hooks.cli.support.program import program_name
from noteflow_hooks.domain.replays import ReplayState
from noteflow_hooks.errors import UnavailableError
from noteflow_hooks.printable import escape
from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable

    from noteflow_hooks.client import Client

#: How often the server is asked.
_LOOK_EVERY_S: Final = 0.5
#: How often a line is printed where lines stay, as in a file.
_LINE_EVERY_S: Final = 10.0


def follow(connect: Callable[[], Client], replay: pb.Replay) -> pb.Replay:
    """Show how far the replay has come until it has ended; return it as it is then.

    Interrupted, it says how to end the replay, which goes on.
    """
    progress = _Progress(is_terminal=sys.stderr is not None and sys.stderr.isatty())
    progress.show(replay)
    try:
        while replay.state == ReplayState.RUNNING:
            replay = _looked(connect, replay, progress)
    except KeyboardInterrupt:
        progress.end()
        cancel = f"{program_name()} deliveries replay-cancel {replay.id}"
        click.echo(f"replay {replay.id} goes on; to end it: {cancel}", err=True)
        raise
    else:
        progress.show(replay, is_last=True)
        return replay
    finally:
        progress.end()


def _looked(connect: Callable[[], Client], replay: pb.Replay, progress: _Progress) -> pb.Replay:
    """Look until the replay has ended or the server is away, and return what was seen last."""
    try:
        # A new connection after each failure: an old one would wait longer and longer before it tries again.
        with connect() as server:
            while replay.state == ReplayState.RUNNING:
                time.sleep(_LOOK_EVERY_S)
                replay = server.webhooks.GetReplay(pb.GetReplayRequest(replay_id=replay.id))
                progress.show(replay)
    except UnavailableError as error:
        progress.lost(error)
    return replay


class _Progress:
    """One line that is written anew on a terminal; elsewhere, a line now and then."""

    def __init__(self, *, is_terminal: bool) -> None:
        self._is_terminal = is_terminal
        self._said = ""
        self._width = 0
        self._printed_at: float | None = None
        self._is_lost = False

    def show(self, replay: pb.Replay, *, is_last: bool = False) -> None:
        """Show how far it has come."""
        self._is_lost = False
        text = f"replay {replay.id} is {replay.state}: {replay.sent} of {replay.matched} made due"
        if text == self._said:
            return
        if self._is_terminal:
            click.echo(f"\r{text:<{self._width}}", nl=False, err=True)
            self._said, self._width = text, len(text)
        elif is_last or self._printed_at is None or time.monotonic() - self._printed_at >= _LINE_EVERY_S:
            click.echo(text, err=True)
            self._said, self._printed_at = text, time.monotonic()

    def lost(self, error: UnavailableError) -> None:
        """Say once that the server is away."""
        if not self._is_lost:
            self.end()
            click.echo(f"noteflow-hooks: {escape(str(error))}; waiting for it", err=True)
        self._is_lost = True

    def end(self) -> None:
        """Leave the line."""
        if self._width:
            click.echo(err=True)
        self._width = 0
