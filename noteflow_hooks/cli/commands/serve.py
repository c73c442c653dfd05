"""`serve`: the gRPC server in the foreground, until SIGTERM or Ctrl-C; one process, or several on one port."""

from __future__ import annotations

import gc
import logging
import os
import sys
from typing import Final

import click

from noteflow_hooks import logs
from noteflow_hooks.cli.support.helping import Command, example
from noteflow_hooks.settings import Settings, unknown_variables

log = logging.getLogger(__name__)

#: What starts one server of a group.
_MEMBER: Final = (sys.executable, "-m", "noteflow_hooks.cli", "serve")
#: The most servers of a group.
_MOST: Final = 64


@click.command(cls=Command)
@example("serve", "serve --processes 4")
@click.option(
    "--processes",
    type=click.IntRange(1, _MOST),
    default=1,
    show_default=True,
    help="How many server processes share the port, and all limits. One per core is plenty.",
)
@click.option("--member", hidden=True, help="What one of several is handed down by the process that starts them.")
def serve(*, processes: int, member: str | None) -> int | None:
    """Run the gRPC server until SIGTERM or Ctrl-C; calls and recordings under way are finished first."""
    settings = Settings.load()
    logs.configure(settings.log_format)
    if member is None:
        for line in unknown_variables():
            log.warning("%s", line)
        if processes > 1:
            return _serve_together(settings, processes)
    _serve(settings, member)
    return None


# Each imports what its process needs: who starts servers needs no database, and is sixty megabytes smaller without.
def _serve_together(settings: Settings, count: int) -> int:
    from noteflow_hooks.local.server_group import ServerGroup  # noqa: PLC0415 - as said

    group = ServerGroup(
        _MEMBER, count=count, bind=settings.grpc_bind, env=os.environ, metrics_bind=settings.metrics_bind
    )
    return group.run(lambda at: click.echo(f"serving gRPC on {at} with {count} processes (pid {os.getpid()})"))


def _serve(settings: Settings, member: str | None) -> None:
    # What is imported stays: looking through it for garbage again and again is a tenth of the start.
    gc.disable()
    from noteflow_hooks.cli.support.serving import serve_alone, serve_as_member  # noqa: PLC0415 - as said

    gc.freeze()
    gc.enable()

    if member is None:
        serve_alone(settings)
    else:
        serve_as_member(settings, member)
