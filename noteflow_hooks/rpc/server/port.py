"""A port that several servers share: it is kept for them, and nobody else gets it, even while none of them runs.

The kernel gives each connection to one of them (``SO_REUSEPORT``), by a hash of both of its ends.
"""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack, suppress
from typing import Final, TypeAlias

from noteflow_hooks.errors import SettingsError
from noteflow_hooks.rpc.server.transport import BIND, SOCKETS, cant_listen

#: A family and an address.
Address: TypeAlias = tuple[socket.AddressFamily, str]

_EVERYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104 - compared with what the operator names


class SharedPort:
    """The port, from now until :meth:`close`."""

    def __init__(self, bind: str) -> None:
        """Take the port, a free one for port 0; raise SettingsError where it can't be had, or can't be shared."""
        if bind.startswith(SOCKETS):
            raise SettingsError(
                f"{BIND} is {bind!r}, where one process at a time can listen: name an address and a port"
            )
        self._bind = bind
        host, _, port = bind.rpartition(":")
        self._port = int(port)
        self._sockets = ExitStack()
        try:
            self._take_all(_addresses(host))
        except BaseException:
            self.close()
            raise
        #: Where the servers listen, as ``host:port``.
        self.address = f"{host}:{self._port}"

    def close(self) -> None:
        """Give up the port."""
        self._sockets.close()

    def _take_all(self, addresses: list[Address]) -> None:
        taken = [self._take(each) for each in addresses]
        if not any(taken):
            raise cant_listen(self._bind)

    def _take(self, where: Address) -> bool:
        """Bind the port there, and then let servers of this user share it; raise SettingsError where it is in use.

        False for an address that is not this machine's.
        """
        family, address = where
        try:
            # Over what connections of earlier servers have left (TIME_WAIT), but over nobody who listens.
            taken = self._bound(family, address, socket.SO_REUSEADDR)
            self._port = taken.getsockname()[1]
            self._lock(f"{address}:{self._port}")
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                raise cant_listen(self._bind) from None
            # One of a name's may be missing, as ::1 is where there is no IPv6.
            return False
        # Only now, so that a port in use was refused, whoever shares that. It never listens, so it gets no connection.
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # A second one, without SO_REUSEADDR, keeps the port from servers outside while none of ours listens. It can't
        # be had for a minute after a server that shared its port with nobody: then it goes without.
        with suppress(OSError):
            self._bound(family, address, socket.SO_REUSEPORT)
        return True

    def _bound(self, family: socket.AddressFamily, address: str, option: int) -> socket.socket:
        made = self._sockets.enter_context(socket.socket(family))
        if family is socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address not in _EVERYWHERE))
        made.setsockopt(socket.SOL_SOCKET, option, 1)
        made.bind((address, self._port))
        return made

    def _lock(self, address: str) -> None:
        """Take a name that no second group can have; the kernel frees it when this process ends."""
        self._sockets.enter_context(socket.socket(socket.AF_UNIX)).bind(f"\0noteflow-hooks/{address}")


def _addresses(host: str) -> list[Address]:
    """Return what the host stands for; gRPC listens on all of that."""
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    addresses: list[Address] = [(family, str(address[0])) for family, _, _, _, address in found]
    # gRPC takes either of these for all addresses of both kinds.
    return [_dual()] if any(address in _EVERYWHERE for _, address in addresses) else addresses


def _dual() -> Address:
    both = socket.has_dualstack_ipv6()
    return (socket.AddressFamily.AF_INET6, "::") if both else (socket.AddressFamily.AF_INET, "0.0.0.0")  # noqa: S104 - as named
