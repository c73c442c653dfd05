"""`health`: whether the server of this machine serves, for a container's health check."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from noteflow_hooks.cli.options import TLS_CERT, TLS_KEY
from noteflow_hooks.cli.security import given
from noteflow_hooks.rpc.probe import check_serving
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
    cert, key = given(TLS_CERT, "TLS_CERT"), given(TLS_KEY, "TLS_KEY")
    where = address if address is not None else _asked(settings.grpc_bind)
    own = (Path(cert), Path(key)) if cert is not None and key is not None else None
    check_serving(where, timeout_s=_TIMEOUT_S, certificate=settings.grpc_tls_cert, own=own)
    click.echo(f"{where} is serving")


def _asked(bind: str) -> str:
    host, colon, port = bind.rpartition(":")
    return f"{_EVERYWHERE.get(host, host)}{colon}{port}"
