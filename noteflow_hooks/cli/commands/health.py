"""`health`: whether the server of this machine serves, for a container's health check."""

from __future__ import annotations

from typing import Final

import click

from noteflow_hooks.cli.support.helping import Command, example
from noteflow_hooks.cli.support.own_server import OwnServer, own_certificate, own_server
from noteflow_hooks.cli.support.variables import read_settings
from noteflow_hooks.local.addresses import is_target
from noteflow_hooks.rpc.server.probe import check_serving

_TIMEOUT_S: Final = 3.0


@click.command(cls=Command)
@example("health", "health 127.0.0.1:50051")
@click.argument("address", metavar="[HOST:PORT]", required=False)
def health(*, address: str | None) -> None:
    """Ask the server of this machine whether it serves; it needs no token.

    Without an address it asks that of a running `up`, else the one of the settings that `serve` reads. A server that
    asks its callers for a certificate asks here too: NOTEFLOW_HOOKS_TLS_CERT and NOTEFLOW_HOOKS_TLS_KEY name one.
    """
    if address is not None and not is_target(address):
        raise click.UsageError(f"{address!r} is no address; it must be HOST:PORT, such as 127.0.0.1:50051")
    said = read_settings()
    server = own_server(said) if address is None else OwnServer(address, said.grpc_tls_cert)
    check_serving(server.address, timeout_s=_TIMEOUT_S, certificate=server.certificate, own=own_certificate())
    click.echo(f"{server.address} is serving")
