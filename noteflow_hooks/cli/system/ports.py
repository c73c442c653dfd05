"""Free ports on loopback."""

from __future__ import annotations

import secrets
import socket
from typing import Final

#: Below the ports that systems lend to outgoing connections, so that none is lent between the look and the use.
_PORTS: Final = range(15_000, 32_000)
_HOST: Final = "127.0.0.1"


def free_address(preferred: str | None = None) -> str:
    """Return ``host:port`` where nobody listens: the preferred one if it is free."""
    if preferred is not None and _is_free(preferred):
        return preferred
    while not _is_free(address := f"{_HOST}:{secrets.choice(_PORTS)}"):
        pass
    return address


def _is_free(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_server((host, int(port))).close()
    except OSError:
        return False
    return True
