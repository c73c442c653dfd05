"""How a server is known and how the caller, as the options say, or else the environment: TLS, or its absence."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from noteflow_hooks.cli.support.options import INSECURE, TLS_CA, TLS_CERT, TLS_KEY
from noteflow_hooks.cli.support.variables import caller
from noteflow_hooks.rpc.server.tls import client_credentials, name_in, read_authorities
from noteflow_hooks.settings import PREFIX

_NAMES: Final = ("--tls-ca", "--tls-cert", "--tls-key")
_OWN: Final = f"{PREFIX}GRPC_TLS_CERT"


def given(key: str) -> str | None:
    """Return what an option was given, else what the environment or `.env` says; an empty one counts as none."""
    said: str | None = getattr(caller(), key.rpartition(".")[2])
    return click.get_current_context().meta.get(key) or said or None


def security(own: Path | None = None) -> dict[str, Any]:
    """Return what the client's ``connect`` takes beside the address; empty for plain HTTP/2 on this machine.

    ``own`` is the certificate of a server of this machine, which is expected where nobody names authorities.
    """
    ca, cert, key = given(TLS_CA), given(TLS_CERT), given(TLS_KEY)
    if (cert is None) != (key is None):
        raise click.UsageError("--tls-cert and --tls-key belong together; only one of them is given")
    files = {name: Path(path) for name, path in (("cert", cert), ("key", key)) if path is not None}
    if ca is not None:
        return {"credentials": client_credentials(ca, names=_NAMES, **files)}
    if own is not None:
        expected = read_authorities(own, name=_OWN)
        credentials = client_credentials(str(own), names=(_OWN, *_NAMES[1:]), **files)
        return {"credentials": credentials, "server_name": name_in(expected)}
    if cert is not None:
        raise click.UsageError("--tls-cert needs --tls-ca: FILE, or system")
    insecure = click.get_current_context().meta.get(INSECURE) or caller().insecure
    return {"plaintext": True} if insecure else {}
