"""`health`: whether the server, or the dashboard, of this machine serves, for a container's health check."""

from __future__ import annotations

import http.client
import ssl
from typing import TYPE_CHECKING, Final

import click

from noteflow_hooks.cli.support.dashboard_address import host_names
from noteflow_hooks.cli.support.helping import Command, example
from noteflow_hooks.cli.support.own_server import OwnServer, own_certificate, own_server, reachable
from noteflow_hooks.cli.support.variables import read_settings
from noteflow_hooks.errors import UnavailableError
from noteflow_hooks.local.addresses import is_target
from noteflow_hooks.rpc.server.probe import check_serving

if TYPE_CHECKING:
    from noteflow_hooks.settings import Settings

_TIMEOUT_S: Final = 3.0


@click.command(cls=Command)
@example("health", "health 127.0.0.1:50051", "health --dashboard")
@click.argument("address", metavar="[HOST:PORT]", required=False)
@click.option("--dashboard", is_flag=True, help="Ask the dashboard at DASHBOARD_BIND whether it is alive.")
def health(*, address: str | None, dashboard: bool) -> None:
    """Ask the server of this machine whether it serves; it needs no token.

    Without an address it asks that of a running `up`, else the one of the settings that `serve` reads. A server that
    asks its callers for a certificate asks here too: NOTEFLOW_HOOKS_TLS_CERT and NOTEFLOW_HOOKS_TLS_KEY name one.
    """
    if address is not None and not is_target(address):
        raise click.UsageError(f"{address!r} is no address; it must be HOST:PORT, such as 127.0.0.1:50051")
    said = read_settings()
    if dashboard:
        if address is not None:
            raise click.UsageError("--dashboard takes no address: it is DASHBOARD_BIND")
        click.echo(f"{_alive(said)} is alive")
        return
    server = own_server(said) if address is None else OwnServer(address, said.grpc_tls_cert)
    check_serving(server.address, timeout_s=_TIMEOUT_S, certificate=server.certificate, own=own_certificate())
    click.echo(f"{server.address} is serving")


def _alive(settings: Settings) -> str:
    """Return where the dashboard is; raise UnavailableError where none answers."""
    at, cert = reachable(settings.dashboard_bind), settings.dashboard_tls_cert
    context = ssl._create_unverified_context()  # noqa: S323, SLF001 - this machine asks itself whether somebody answers
    url = f"{'https' if cert else 'http'}://{at}"
    connection = (
        http.client.HTTPSConnection(at, timeout=_TIMEOUT_S, context=context)
        if cert
        else http.client.HTTPConnection(at, timeout=_TIMEOUT_S)
    )
    try:
        # By a name that it is reached under, whichever those are.
        host = min(host_names(settings), default=at)
        connection.request("GET", "/alive", headers={"host": host})
        if connection.getresponse().read() != b"alive\n":
            raise UnavailableError(f"what answers at {url} is no dashboard")
    except (OSError, http.client.HTTPException):
        raise UnavailableError(f"no dashboard answers at {url}") from None
    finally:
        connection.close()
    return url
