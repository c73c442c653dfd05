"""Follows the deliveries by a watch: the server tells of each change."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click
from typing_extensions import override

from noteflow_hooks.cli.support.finding import learn
from noteflow_hooks.cli.support.following_streams import Follower
from noteflow_hooks.cli.support.listing import without_details
from noteflow_hooks.cli.support.remote import shown
from noteflow_hooks.cli.support.screen import screen
from noteflow_hooks.cli.support.tailing import Changes, line_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from noteflow_hooks.client import Client
    from noteflow_hooks.rpc.proto.noteflow.v1 import noteflow_pb2 as pb


def watch_lines(
    connect: Callable[[], Client], request: pb.WatchDeliveriesRequest, *, every_s: float, as_json: bool
) -> bool:
    """Print a line for each change from now on, until interrupted; False where the server knows no watches.

    A server that has answered once is waited for when it goes away; it is tried again after ``every_s``.
    """
    return _Watch(request, as_json=as_json).keep_on(connect, every_s=every_s)


class _Watch(Follower):
    """What was told so far."""

    position = "since"
    missing = "what changed meanwhile is missing"

    def __init__(self, request: pb.WatchDeliveriesRequest, *, as_json: bool) -> None:
        super().__init__(request)
        self._names: dict[str, str] | None = None if as_json else {}
        #: A watch that goes on where another one was may tell some once more.
        self._changes = Changes()

    @override
    def begun(self, server: Client) -> Iterable[Any]:
        messages: Iterable[Any] = server.webhooks.WatchDeliveries(self.request)
        return messages

    @override
    def take(self, message: Any, server: Client) -> bool:
        self.request.since.CopyFrom(message.at)
        if message.missed:
            click.echo(f"noteflow-hooks: {message.missed:,} changes came too fast and were left out", err=True)
        if message.HasField("delivery"):
            for row in self._changes.among([without_details(shown(message.delivery))]):
                self._print(row, server)
        return True

    def _print(self, row: dict[str, Any], server: Client) -> None:
        if self._names is None:
            click.echo(json.dumps(row))
            return
        learn(self._names, [row], server)
        click.echo(line_of(row, self._names), color=screen().has_colours)
