"""Free ports on loopback."""

from __future__ import annotations

import secrets
import socket
from typing import Final

from noteflow_hooks.local.addresses import host_and_port

#: Below the ephemeral ports, so that no outgoing connection takes one between the check and its use; and below those of
#: the embedded Valkey, which starts in between.
_PORTS: Final = range(15_000, 24_000)
_HOST: Final = "127.0.0.1"


def free_address(preferred: str | None = None) -> str:
    """Return a free ``host:port``, the preferred one if it is free."""
    if preferred is not None and _is_free(preferred):
        return preferred
    while not _is_free(address := f"{_HOST}:{secrets.choice(_PORTS)}"):
        pass
    return address


def why_not(address: str) -> str | None:
    """Return why no server can listen at ``host:port``, or None if one can."""
    where = host_and_port(address)
    if where is None:
        return "it is not HOST:PORT"
    family = socket.AF_INET6 if ":" in where[0] else socket.AF_INET
    try:
        socket.create_server(where, family=family).close()
    except OSError as error:
        # Python adds the address in brackets.
        return (error.strerror or str(error)).partition(" (")[0]
    return None


def _is_free(address: str) -> bool:
    return why_not(address) is None
