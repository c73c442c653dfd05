"""`health`: whether the server of this machine serves, for a container's health check."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from noteflow_hooks.cli.options import TLS_CERT, TLS_KEY
from noteflow_hooks.cli.security import given
from noteflow_hooks.rpc.server.probe import check_serving
from noteflow_hooks.settings import Settings

_TIMEOUT_S: Final = 3.0
#: Where a server listens that listens everywhere.
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - addresses to ask, not to listen on


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


def own_certificate() -> tuple[Path, Path] | None:
    """Return our own certificate and its key, for a server that wants one; None where they are not named."""
    cert, key = given(TLS_CERT, "TLS_CERT"), given(TLS_KEY, "TLS_KEY")
    return (Path(cert), Path(key)) if cert is not None and key is not None else None


def reachable(bind: str) -> str:
    """Return where a server of this machine is asked that listens there."""
    host, colon, port = bind.rpartition(":")
    return f"{_EVERYWHERE.get(host, host)}{colon}{port}"
