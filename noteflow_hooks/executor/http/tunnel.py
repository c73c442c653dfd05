"""A tunnel to the endpoint through the operator's proxy: CONNECT by name (RFC 9110, 9.3.6), within the one deadline.

The proxy's answers are used here only. It can refuse, but it can't answer for the endpoint: TLS with the endpoint
begins once the tunnel is there.
"""

from __future__ import annotations

from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

from noteflow_hooks.domain.attempts import SUCCESS, ErrorKind
from noteflow_hooks.egress.policy import NOT_ALLOWED
from noteflow_hooks.errors import AddressNotAllowedError
from noteflow_hooks.executor.http.dialling import connected, is_address, not_allowed
from noteflow_hooks.executor.http.faults import ExchangeError, from_network, is_ours
from noteflow_hooks.executor.http.reply import Reply
from noteflow_hooks.executor.http.wire import Wire

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Sequence

    from noteflow_hooks.domain.urls import EndpointUrl
    from noteflow_hooks.egress import Address, EgressPolicy, EgressProxy
    from noteflow_hooks.executor.http.dialling import Laps
    from noteflow_hooks.executor.http.stream import Deadline


def tunnelled(
    url: EndpointUrl, proxy: EgressProxy, *, egress: EgressPolicy, deadline: Deadline, laps: Laps
) -> socket.socket:
    """Return a socket whose other end is the endpoint, if the proxy is to be believed.

    The proxy looks the name up. What needs no look-up is checked here: ports and literal addresses. ``laps`` are told
    how long the look-up of the proxy itself took, and the way to the endpoint.
    """
    try:
        egress.check(url)
    except AddressNotAllowedError as error:
        raise not_allowed(url, error) from error
    with _blamed_on_the_proxy():
        try:
            addresses = _addresses(proxy, egress, deadline)
        finally:
            took = laps.lap()
            laps.dns_s = None if is_address(proxy.host) else took
        return _through(addresses, url, proxy, egress=egress, deadline=deadline, laps=laps)


def _through(
    addresses: Sequence[Address],
    url: EndpointUrl,
    proxy: EgressProxy,
    *,
    egress: EgressPolicy,
    deadline: Deadline,
    laps: Laps,
) -> socket.socket:
    try:
        sock = connected(addresses, port=proxy.port, deadline=deadline, failed=lambda: egress.forget(proxy.host))
        try:
            _ask(Wire(sock, deadline), url, proxy)
        except BaseException:
            sock.close()
            raise
    finally:
        laps.connect_s = laps.lap()
    return sock


@contextmanager
def _blamed_on_the_proxy() -> Iterator[None]:
    """Have errors on the way to the proxy name the proxy, so that nobody looks for the fault at the endpoint."""
    try:
        yield
    except OSError as error:
        if is_ours(error):
            raise
        told = from_network(error)
        raise told if told.kind is ErrorKind.TIMEOUT else _failed(told.message) from error


def _failed(problem: str) -> ExchangeError:
    return ExchangeError(ErrorKind.CONNECT, f"Egress proxy: {problem}")


def _addresses(proxy: EgressProxy, egress: EgressPolicy, deadline: Deadline) -> tuple[Address, ...]:
    try:
        found = egress.proxy_addresses(proxy, timeout_s=deadline.remaining())
    except TimeoutError as error:
        raise _failed("Host name look-up timed out") from error
    except (OSError, ValueError) as error:
        raise _failed("Host name look-up failed") from error
    if not found:
        raise _failed("Host name has no address")
    return found


def _ask(wire: Wire, url: EndpointUrl, proxy: EgressProxy) -> None:
    """Ask for the tunnel, and return once it is there."""
    wire.sendall(_request(url, proxy))
    reply = Reply(wire)
    try:
        reply.begin()
    except ExchangeError as error:
        # A head that breaks off, is malformed or has no end is the proxy's fault, not an answer of the endpoint.
        raise error if error.kind is ErrorKind.TIMEOUT else _failed(error.message) from error
    if reply.status == HTTPStatus.FORBIDDEN:
        raise ExchangeError(ErrorKind.ADDRESS_NOT_ALLOWED, NOT_ALLOWED)
    if reply.status not in SUCCESS:
        raise ExchangeError(ErrorKind.CONNECT, f"Refused by the egress proxy (HTTP {reply.status})")


def _request(url: EndpointUrl, proxy: EgressProxy) -> bytes:
    # Without a dot at the end, by which a name could get past the proxy's list of names.
    host = f"[{url.host}]" if ":" in url.host else url.host.rstrip(".")
    lines = [f"CONNECT {host}:{url.port} HTTP/1.1", f"Host: {host}:{url.port}"]
    if proxy.authorization is not None:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    return "\r\n".join([*lines, "", ""]).encode("ascii")
