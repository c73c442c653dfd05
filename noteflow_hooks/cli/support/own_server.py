"""The server of this machine, where nobody names one: that of a running `up`, else the one at GRPC_BIND."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from noteflow_hooks.cli.support.options import TLS_CERT, TLS_KEY
from noteflow_hooks.cli.support.security import given
from noteflow_hooks.local.files import address_in, read_object, text_in, up_file

if TYPE_CHECKING:
    from noteflow_hooks.settings import Settings

#: Where a server listens that listens everywhere.
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - addresses to ask, not to listen on


@dataclass(frozen=True, slots=True)
class OwnServer:
    """A server of this machine."""

    address: str
    #: The certificate that it shows; None where it speaks no TLS.
    certificate: Path | None
    #: What opens it, where that is known here: the token of `up`.
    token: str | None = None


def running(settings: Settings) -> OwnServer | None:
    """Return the server of a running `up`; None where none runs in DATA_DIR."""
    path = up_file(settings.data_dir)
    found = read_object(path)
    if found is None:
        return None
    return OwnServer(address_in(found, "grpc", path), None, text_in(found, "token", path))


def own_server(settings: Settings) -> OwnServer:
    """Return the server of this machine."""
    return running(settings) or OwnServer(reachable(settings.grpc_bind), settings.grpc_tls_cert)


def own_certificate() -> tuple[Path, Path] | None:
    """Return our own certificate and its key, for a server that wants one; None where they are not named."""
    cert, key = given(TLS_CERT), given(TLS_KEY)
    return (Path(cert), Path(key)) if cert is not None and key is not None else None


def reachable(bind: str) -> str:
    """Return where a server of this machine is asked that listens there."""
    host, colon, port = bind.rpartition(":")
    return f"{_EVERYWHERE.get(host, host)}{colon}{port}"
