"""Follows the deliveries by a watch: the server tells of each change. One that breaks is begun anew where it was."""

from __future__ import annotations

import contextlib
import json
import time
from typing import TYPE_CHECKING, Any

import click

from noteflow_hooks.cli.support.listing import without_details
from noteflow_hooks.cli.support.remote import shown
from noteflow_hooks.cli.support.screen import screen
from noteflow_hooks.cli.support.tailing import Changes, learn, line_of
from noteflow_hooks.errors import InvalidInputError, NoteFlowHooksError, UnavailableError
from noteflow_hooks.printable import escape

if TYPE_CHECKING:
    from collections.abc import Callable

    from noteflow_hooks.client import Client
    from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb


def watch_lines(
    connect: Callable[[], Client], request: pb.WatchDeliveriesRequest, *, every_s: float, as_json: bool
) -> bool:
    """Print a line for each change from now on, until interrupted; False where the server knows no watches.

    A server that has answered once is waited for when it goes away; it is tried again after ``every_s``.
    """
    watch = _Watch(request, as_json=as_json)
    with contextlib.suppress(KeyboardInterrupt):
        while watch.follow(connect):
            time.sleep(every_s)
        return False
    return True


class _Watch:
    """What was told so far."""

    def __init__(self, request: pb.WatchDeliveriesRequest, *, as_json: bool) -> None:
        self._request = request
        self._names: dict[str, str] | None = None if as_json else {}
        #: A watch that goes on where another one was may tell some once more.
        self._changes = Changes()
        #: Whether the server answered last time; None before the first answer.
        self._answers: bool | None = None

    def follow(self, connect: Callable[[], Client]) -> bool:
        """Print what is told until the watch breaks; False where there are no watches."""
        try:
            with connect() as server:
                for message in server.webhooks.WatchDeliveries(self._request):
                    self._answers = True
                    self._take(message, server)
        except UnavailableError as error:
            self._wait_for(error)
        except InvalidInputError as error:
            if self._answers is None or "since" not in str(error):
                raise
            click.echo("noteflow-hooks: the server was away for too long; what changed meanwhile is missing", err=True)
            self._request.ClearField("since")
        except NoteFlowHooksError as error:
            if self._answers is None and _is_unknown(error):
                return False
            raise
        return True

    def _take(self, message: pb.WatchDeliveriesResponse, server: Client) -> None:
        self._request.since.CopyFrom(message.at)
        if message.missed:
            click.echo(f"noteflow-hooks: {message.missed:,} changes came too fast and were left out", err=True)
        if message.HasField("delivery"):
            for row in self._changes.among([without_details(shown(message.delivery))]):
                self._print(row, server)

    def _print(self, row: dict[str, Any], server: Client) -> None:
        if self._names is None:
            click.echo(json.dumps(row))
            return
        learn(self._names, [row], server)
        click.echo(line_of(row, self._names), color=screen().has_colours)

    def _wait_for(self, error: UnavailableError) -> None:
        if self._answers is None:
            raise error
        if self._answers:
            click.echo(f"noteflow-hooks: {escape(str(error))}; waiting for it", err=True)
        self._answers = False


def _is_unknown(error: NoteFlowHooksError) -> bool:
    """Tell whether a server of a former release has said that it has no such method."""
    code = getattr(error.__cause__, "code", None)
    return code is not None and code().name == "UNIMPLEMENTED"
