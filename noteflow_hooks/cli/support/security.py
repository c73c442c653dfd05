"""How a server is known and how the caller, as the options say, or else the environment: TLS, or its absence."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import click

from noteflow_hooks.cli.support.options import INSECURE, TLS_CA, TLS_CERT, TLS_KEY
from noteflow_hooks.rpc.server.tls import client_credentials
from noteflow_hooks.settings import PREFIX

_NAMES: Final = ("--tls-ca", "--tls-cert", "--tls-key")
_YES: Final = frozenset({"true", "1", "yes", "on"})
_NO: Final = frozenset({"false", "0", "no", "off"})


def given(key: str, name: str) -> str | None:
    """Return what an option was given, else what the environment says; an empty one counts as none."""
    return click.get_current_context().meta.get(key) or os.environ.get(f"{PREFIX}{name}") or None


def security() -> dict[str, Any]:
    """Return what :func:`noteflow_hooks.rpc.client.connect` takes beside the address; empty for plain HTTP/2 here."""
    ca, cert, key = given(TLS_CA, "TLS_CA"), given(TLS_CERT, "TLS_CERT"), given(TLS_KEY, "TLS_KEY")
    if (cert is None) != (key is None):
        raise click.UsageError("--tls-cert and --tls-key belong together; only one of them is given")
    if ca is not None:
        files = {name: Path(path) for name, path in (("cert", cert), ("key", key)) if path is not None}
        return {"credentials": client_credentials(ca, names=_NAMES, **files)}
    if cert is not None:
        raise click.UsageError("--tls-cert needs --tls-ca: FILE, or system")
    return {"plaintext": True} if _insecure() else {}


def _insecure() -> bool:
    if click.get_current_context().meta.get(INSECURE):
        return True
    text = os.environ.get(f"{PREFIX}INSECURE", "").lower()
    if text and text not in _YES | _NO:
        raise click.UsageError(f"{PREFIX}INSECURE is {text!r}; it may hold true or false")
    return text in _YES
