"""`dashboard`: what was delivered, in a browser; in the foreground, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import os
import secrets
import socket
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from noteflow_hooks import logs
from noteflow_hooks.cli.support.dashboard_address import BIND, can_run, check_tls, host_names
from noteflow_hooks.cli.support.helping import Command, example
from noteflow_hooks.cli.support.options import server_options
from noteflow_hooks.cli.support.remote import anybodys_connector
from noteflow_hooks.cli.support.variables import read_settings
from noteflow_hooks.errors import NoteFlowHooksError, SettingsError

if TYPE_CHECKING:
    from noteflow_hooks.settings import Settings

#: Where it shares a machine with workers, their deliveries come first.
_NICENESS: Final = 10


@click.command(cls=Command)
@example("dashboard", "dashboard --server 127.0.0.1:50051")
@server_options
@click.option("--link-file", hidden=True, type=click.Path(path_type=Path), help="Where `up` keeps its link.")
def dashboard(*, link_file: Path | None) -> None:
    """Show in a browser what was delivered, until SIGTERM or Ctrl-C. It asks the gRPC server, and nothing else.

    Whoever opens it signs in with an API token, and sees that token's workspace. It needs the extra `dashboard`:
    pip install 'noteflow-hooks[dashboard]'.
    """
    if not can_run():
        raise NoteFlowHooksError("the dashboard needs more packages: pip install 'noteflow-hooks[dashboard]'")
    settings = read_settings()
    logs.configure(settings.log_format)
    check_tls(settings)
    with _listening(settings.dashboard_bind) as listener:
        _serve(settings, listener, link_file)


def _serve(settings: Settings, listener: socket.socket, link_file: Path | None) -> None:
    # All that only this command needs: Starlette, Jinja2 and uvicorn come with it.
    from noteflow_hooks.dashboard.app import Parts, application  # noqa: PLC0415 - as said
    from noteflow_hooks.dashboard.gateway import Gateway  # noqa: PLC0415 - as said
    from noteflow_hooks.dashboard.guard import LOOPBACK_NAMES  # noqa: PLC0415 - as said
    from noteflow_hooks.dashboard.pages import Pages  # noqa: PLC0415 - as said
    from noteflow_hooks.dashboard.sealing import Sealer  # noqa: PLC0415 - as said
    from noteflow_hooks.dashboard.server import server  # noqa: PLC0415 - as said
    from noteflow_hooks.dashboard.sessions import Sessions  # noqa: PLC0415 - as said
    from noteflow_hooks.dashboard.signing_in import OneTimeLink, Tries  # noqa: PLC0415 - as said

    gateway = Gateway(anybodys_connector())
    hosts = host_names(settings) or LOOPBACK_NAMES
    sealer = Sealer(settings.dashboard_secret or secrets.token_urlsafe(32))
    parts = Parts(gateway, Sessions(sealer), Tries(), OneTimeLink(link_file), Pages(), hosts)
    cert, key = settings.dashboard_tls_cert, settings.dashboard_tls_key
    at = f"{'https' if cert else 'http'}://{_written(listener)}"
    ready = partial(click.echo, f"the dashboard is at {at}")
    os.nice(_NICENESS)
    server(application(parts), ready=ready, closing=gateway.close, cert=cert, key=key).run(sockets=[listener])


def _listening(bind: str) -> socket.socket:
    host, _, port = bind.rpartition(":")
    name = host.removeprefix("[").removesuffix("]")
    try:
        listener = socket.create_server((name, int(port)), family=socket.AF_INET6 if ":" in name else socket.AF_INET)
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (")[0]
        raise SettingsError(f"{BIND} is '{bind}': can't listen there: {reason}") from None
    # Its connections have that from it. asyncio sees to it for sockets that it has made; without it a page's last
    # segment waits 40 ms for the browser's acknowledgement of the one before.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _written(listener: socket.socket) -> str:
    """Return where it listens, as an address has it; port 0 has become one by then."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
