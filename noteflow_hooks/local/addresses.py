"""Parses a server's address: a name or an IP address, IPv6 in brackets, and a port."""

from __future__ import annotations

import re
from typing import Final

_ADDRESS: Final = re.compile(r"(?:\[([^\s\[\]/]+)\]|([^\s:/\[\]]+)):([0-9]{1,5})")
_PORTS: Final = range(1, 65_536)


def is_target(address: str) -> bool:
    """Tell whether a server can be called by this: ``HOST:PORT``, or ``unix:`` and a path."""
    return host_and_port(address) is not None or (address.startswith("unix:") and address != "unix:")


def host_and_port(address: str) -> tuple[str, int] | None:
    """Return the host, without brackets, and the port; None for what is no ``HOST:PORT``, such as a URL."""
    found = _ADDRESS.fullmatch(address)
    if found is None or int(found[3]) not in _PORTS:
        return None
    return found[1] or found[2], int(found[3])
