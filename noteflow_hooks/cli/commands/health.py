"""`health`: whether the server of this machine serves, for a container's health check."""

from __future__ import annotations

from typing import Final

import click

from noteflow_hooks.cli.support.own_server import own_certificate, reachable
from noteflow_hooks.rpc.server.probe import check_serving
from noteflow_hooks.settings import Settings

_TIMEOUT_S: Final = 3.0


@click.command()
@click.argument("address", metavar="[HOST:PORT]", required=False)
def health(*, address: str | None) -> None:
    """Ask the server of this machine whether it serves; it needs no token.

    The address and the certificate are those of the settings that `serve` reads. A server that asks its callers for a
    certificate asks here too: NOTEFLOW_HOOKS_TLS_CERT and NOTEFLOW_HOOKS_TLS_KEY name one.
    """
    settings = Settings.load()
    where = address if address is not None else reachable(settings.grpc_bind)
    check_serving(where, timeout_s=_TIMEOUT_S, certificate=settings.grpc_tls_cert, own=own_certificate())
    click.echo(f"{where} is serving")
