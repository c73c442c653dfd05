"""Free ports on loopback."""

from __future__ import annotations

import secrets
import socket
from typing import Final

from noteflow_hooks.local.addresses import host_and_port

#: Below the ports that systems lend to outgoing connections, so that none is lent between the look and the use; and
#: below those that the embedded Valkey takes, which starts in between.
_PORTS: Final = range(15_000, 24_000)
_HOST: Final = "127.0.0.1"


def free_address(preferred: str | None = None) -> str:
    """Return ``host:port`` where nobody listens: the preferred one if it is free."""
    if preferred is not None and _is_free(preferred):
        return preferred
    while not _is_free(address := f"{_HOST}:{secrets.choice(_PORTS)}"):
        pass
    return address


def why_not(address: str) -> str | None:
    """Return why nobody can begin to listen at ``host:port``, None where somebody can."""
    where = host_and_port(address)
    if where is None:
        return "it is not HOST:PORT"
    family = socket.AF_INET6 if ":" in where[0] else socket.AF_INET
    try:
        socket.create_server(where, family=family).close()
    except OSError as error:
        # Python goes on, in brackets, with the address.
        return (error.strerror or str(error)).partition(" (")[0]
    return None


def _is_free(address: str) -> bool:
    return why_not(address) is None
