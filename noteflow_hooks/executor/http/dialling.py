"""From a host name to a connected socket: looked up, checked, and dialled by number, all within the deadline."""

from __future__ import annotations

import logging
import socket
from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from noteflow_hooks.domain.deliveries import ErrorKind
from noteflow_hooks.egress.policy import NOT_ALLOWED
from noteflow_hooks.errors import AddressNotAllowedError
from noteflow_hooks.executor.http.faults import ExchangeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from noteflow_hooks.domain.urls import EndpointUrl
    from noteflow_hooks.egress import Address, EgressPolicy
    from noteflow_hooks.executor.http.stream import Deadline

logger = logging.getLogger(__name__)

#: All addresses are checked, but only so many are tried.
_DIALS_LIMIT: Final = 8
_FAMILIES: Final = {4: socket.AF_INET, 6: socket.AF_INET6}


def dialled(url: EndpointUrl, egress: EgressPolicy, deadline: Deadline) -> socket.socket:
    """Return a socket connected to one of the host's allowed addresses; raise the OSError of the last one tried."""
    return connected(_addresses(url, egress, deadline), port=url.port, deadline=deadline)


def connected(addresses: Sequence[Address], *, port: int, deadline: Deadline) -> socket.socket:
    """Return a socket connected to the first address that answers; raise the OSError of the last one tried."""
    tried = addresses[:_DIALS_LIMIT]
    for untried, address in zip(range(len(tried), 1, -1), tried, strict=False):
        try:
            # A silent address may use only its share of the time, so that the next ones get theirs.
            return _connected(address, port, timeout_s=deadline.remaining() / untried)
        except OSError:
            continue
    return _connected(tried[-1], port, timeout_s=deadline.remaining())


def not_allowed(url: EndpointUrl, error: AddressNotAllowedError) -> ExchangeError:
    """Return the error for what the egress rules forbid; the details, which only an operator may see, go to the log."""
    logger.debug("an attempt at %s was refused: %s", url.host, error.detail)
    return ExchangeError(ErrorKind.ADDRESS_NOT_ALLOWED, str(error))


def _addresses(url: EndpointUrl, egress: EgressPolicy, deadline: Deadline) -> tuple[Address, ...]:
    try:
        found = egress.addresses(url, timeout_s=deadline.remaining())
    except AddressNotAllowedError as error:
        raise not_allowed(url, error) from error
    except TimeoutError as error:
        raise ExchangeError(ErrorKind.DNS, "Host name look-up timed out") from error
    except (OSError, ValueError) as error:
        problem = getattr(error, "strerror", None) or "no usable answer"
        raise ExchangeError(ErrorKind.DNS, f"Host name look-up failed: {problem}") from error
    if not found:
        raise ExchangeError(ErrorKind.DNS, "Host name look-up failed: no address")
    return found


@lru_cache(maxsize=1024)
def _parsed(text: str) -> Address:
    return ip_address(text)


def _connected(address: Address, port: int, *, timeout_s: float) -> socket.socket:
    sock = socket.socket(_FAMILIES[address.version], socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout_s)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.connect((str(address), port))
        _check_peer(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


def _check_peer(sock: socket.socket, address: Address) -> None:
    # A second line of defence: what was checked is what we are connected to.
    if _parsed(sock.getpeername()[0]) != address:
        raise ExchangeError(ErrorKind.ADDRESS_NOT_ALLOWED, NOT_ALLOWED)
