"""From a host name to a connected socket: looked up, checked, and dialled by number, all within the deadline."""

from __future__ import annotations

import errno
import logging
import os
import select
import socket
from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from noteflow_hooks.domain.attempts import ErrorKind
from noteflow_hooks.egress.policy import NOT_ALLOWED
from noteflow_hooks.errors import AddressNotAllowedError
from noteflow_hooks.executor.http.faults import ExchangeError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from noteflow_hooks.domain.urls import EndpointUrl
    from noteflow_hooks.egress import Address, EgressPolicy
    from noteflow_hooks.executor.http.stream import Deadline

logger = logging.getLogger(__name__)

#: All addresses are checked, but only so many are tried.
_DIALS_LIMIT: Final = 8
_FAMILIES: Final = {4: socket.AF_INET, 6: socket.AF_INET6}
#: What a connect that does not wait returns: it is there, or it goes on.
_CONNECTED: Final = frozenset({0, errno.EISCONN})
_UNDER_WAY: Final = frozenset({errno.EINPROGRESS, errno.EALREADY, errno.EWOULDBLOCK})


class Laps:
    """How many seconds each part of dialling took, the last one too where it failed; None where it was not come to."""

    __slots__ = ("_monotonic", "_since", "connect_s", "dns_s", "is_done", "tls_s")

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """Begin now."""
        self._monotonic = monotonic
        self._since = monotonic()
        self.dns_s: float | None = None
        self.connect_s: float | None = None
        self.tls_s: float | None = None
        #: Whether there is a connection.
        self.is_done = False

    @property
    def all_s(self) -> float:
        """How long all of it took so far."""
        return (self.dns_s or 0.0) + (self.connect_s or 0.0) + (self.tls_s or 0.0)

    def lap(self) -> float:
        """Return how long it is since the lap before, or the beginning."""
        since, self._since = self._since, self._monotonic()
        return self._since - since


def dialled(url: EndpointUrl, egress: EgressPolicy, deadline: Deadline, laps: Laps) -> socket.socket:
    """Return a socket connected to one of the host's allowed addresses; raise the OSError of the last one tried.

    The socket's timeout is not set: whoever uses it sets one for each wait.
    """
    try:
        addresses = _addresses(url, egress, deadline)
    finally:
        took = laps.lap()
        # An address needs no look-up.
        laps.dns_s = None if is_address(url.host) else took
    try:
        return connected(addresses, port=url.port, deadline=deadline, failed=lambda: egress.forget(url.host))
    finally:
        laps.connect_s = laps.lap()


@lru_cache(maxsize=1024)
def is_address(host: str) -> bool:
    """Tell whether a host is given by its address."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def connected(
    addresses: Sequence[Address], *, port: int, deadline: Deadline, failed: Callable[[], None]
) -> socket.socket:
    """Return a socket connected to the first address that answers; raise the OSError of the last one tried.

    ``failed`` is called for each that does not answer: what the look-up said may be out of date.
    """
    tried = addresses[:_DIALS_LIMIT]
    for untried, address in zip(range(len(tried), 0, -1), tried, strict=True):
        try:
            # A silent address may use only its share of the time, so that the next ones get theirs.
            return _connected(address, port, timeout_s=deadline.remaining() / untried)
        except OSError:
            failed()
            if untried == 1:
                raise
    raise AssertionError("there is no address to try")


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


@lru_cache(maxsize=1024)
def _text(address: Address) -> str:
    return str(address)


def _connected(address: Address, port: int, *, timeout_s: float) -> socket.socket:
    sock = socket.socket(_FAMILIES[address.version], socket.SOCK_STREAM)
    try:
        sock.settimeout(0)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _connect(sock, (_text(address), port), timeout_s)
        _check_peer(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


def _connect(sock: socket.socket, place: tuple[str, int], timeout_s: float) -> None:
    """Connect; a TimeoutError without an errno says that the time is up."""
    problem = sock.connect_ex(place)
    if problem in _UNDER_WAY:
        # One on this machine has answered by now. To wait for that would cost as much as all else, under gevent most.
        problem = sock.connect_ex(place)
    if problem in _UNDER_WAY:
        problem = _awaited(sock, timeout_s)
    if problem not in _CONNECTED:
        raise OSError(problem, os.strerror(problem))


def _awaited(sock: socket.socket, timeout_s: float) -> int:
    """Wait until the connect has come to its end and return its error's number, 0 for none."""
    waiting = select.poll()
    waiting.register(sock, select.POLLOUT)
    if not waiting.poll(timeout_s * 1000):
        raise TimeoutError("timed out")
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def _check_peer(sock: socket.socket, address: Address) -> None:
    # A second line of defence: what was checked is what we are connected to.
    if _parsed(sock.getpeername()[0]) != address:
        raise ExchangeError(ErrorKind.ADDRESS_NOT_ALLOWED, NOT_ALLOWED)
