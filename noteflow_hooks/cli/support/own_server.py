"""How the server of this machine is asked: where it listens, and with which certificate of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from noteflow_hooks.cli.support.options import TLS_CERT, TLS_KEY
from noteflow_hooks.cli.support.security import given

#: Where a server listens that listens everywhere.
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - addresses to ask, not to listen on


def own_certificate() -> tuple[Path, Path] | None:
    """Return our own certificate and its key, for a server that wants one; None where they are not named."""
    cert, key = given(TLS_CERT, "TLS_CERT"), given(TLS_KEY, "TLS_KEY")
    return (Path(cert), Path(key)) if cert is not None and key is not None else None


def reachable(bind: str) -> str:
    """Return where a server of this machine is asked that listens there."""
    host, colon, port = bind.rpartition(":")
    return f"{_EVERYWHERE.get(host, host)}{colon}{port}"
