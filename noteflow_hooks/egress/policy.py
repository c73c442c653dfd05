"""The egress rules, in this order: the port, the operator's denials, the operator's permissions, the built-in table.

Where the operator has named a proxy, the proxy looks names up and decides about their addresses. What can be checked
without a look-up is still checked here.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from ipaddress import IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Final

from noteflow_hooks.domain.urls import LOOPBACK_HOSTS, EndpointUrl, parse_url
from noteflow_hooks.egress.ports import Ports
from noteflow_hooks.egress.ranges import is_public, unmapped
from noteflow_hooks.egress.resolver import Lookup, Resolver, system_lookup
from noteflow_hooks.errors import AddressNotAllowedError, InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from noteflow_hooks.egress.proxy import EgressProxy
    from noteflow_hooks.egress.ranges import Address, Network

log = logging.getLogger(__name__)

#: What a tenant is told. It never names the address: that would reveal what names inside our network resolve to.
NOT_ALLOWED: Final = "address not allowed"
#: What whoever registers is told beside that.
_ALLOWED: Final = "it must be public, or one that the operator allows"
#: How long the look-up of a registration may take: less than the server gives the call, which also uses the database.
_REGISTRATION_LOOKUP_S: Final = 1.0
#: What ``localhost`` and the names below it always resolve to (RFC 6761, 6.3).
_LOOPBACK: Final = ip_address("127.0.0.1")
#: How many addresses' decisions are remembered: the rules of a policy never change.
_DECISIONS: Final = 4_096


class EgressPolicy:
    """Decides which addresses may be dialled.

    While ``allow_http_loopback`` is set, ``http`` URLs to ``localhost``, ``127.0.0.1`` and ``[::1]`` may reach loopback
    addresses; ``https`` ones, and names that merely resolve to loopback, still need ``allow`` for that.
    """

    def __init__(
        self,
        *,
        allow: Iterable[str] = (),
        deny: Iterable[str] = (),
        ports: str = "",
        proxy: EgressProxy | None = None,
        allow_http_loopback: bool = False,
        lookup: Lookup = system_lookup,
        resolve_cache_s: float = 0.0,
    ) -> None:
        """Take CIDRs, and ports as in ``443,9000-9100``, where empty means the built-in rule.

        InvalidInputError names the first one that is wrong. All https goes through ``proxy``, where one is given. What
        a look-up answers may be used for ``resolve_cache_s``; its addresses are checked each time.
        """
        self._allowed = tuple(_network("egress_allow", each) for each in allow)
        self._denied = tuple(_network("egress_deny", each) for each in deny)
        self._ports = Ports(ports)
        self._proxy = proxy
        self.allow_http_loopback = allow_http_loopback
        self._resolver = Resolver(lookup, keep_s=resolve_cache_s)
        self._decision = lru_cache(maxsize=_DECISIONS)(self._decided)

    def permits(self, address: Address | str) -> bool:
        """Tell whether the address may be dialled; text that is no address may not."""
        return self._decision(address)

    def _decided(self, address: Address | str) -> bool:
        try:
            plain = unmapped(ip_address(address))
        except ValueError:
            return False
        if self._denies(plain):
            return False
        return any(plain in network for network in self._allowed) or is_public(plain)

    def proxy_for(self, url: EndpointUrl) -> EgressProxy | None:
        """Return the proxy through which the URL is reached; None for a URL that is dialled directly."""
        return self._proxy if url.scheme == "https" else None

    def proxy_addresses(self, proxy: EgressProxy, *, timeout_s: float) -> tuple[Address, ...]:
        """Return the proxy's own addresses, unchecked: the operator named it. Errors are those of a look-up."""
        return self._found(proxy.host, timeout_s)

    def check(self, url: EndpointUrl) -> None:
        """Raise :class:`AddressNotAllowedError` if the URL is forbidden whatever a look-up would return."""
        self._check_port(url)
        address = _literal(url.host)
        if address is not None:
            self._check_addresses(url, (address,))

    def addresses(self, url: EndpointUrl, *, timeout_s: float) -> tuple[Address, ...]:
        """Return the addresses to try for the URL, in order, checked now; the look-up may be a moment old.

        One forbidden answer, or a forbidden port, forbids them all: :class:`AddressNotAllowedError`. TimeoutError when
        time is up, another OSError where the name has no address.
        """
        self._check_port(url)
        found = self._found(url.host, timeout_s)
        try:
            self._check_addresses(url, found)
        except AddressNotAllowedError:
            # Who has mended the name need not wait until this answer is too old.
            self.forget(url.host)
            raise
        return found

    def forget(self, host: str) -> None:
        """Have the host looked up anew for its next dial: one to an address that it had has failed."""
        self._resolver.forget(host)

    def check_url(self, url: str) -> EndpointUrl:
        """Return the URL in parts if it may be registered now, else raise :class:`InvalidInputError`.

        A name that has no address yet is allowed: every attempt checks again. So is any name that the proxy is to look
        up, since behind a proxy names often can't be looked up here.
        """
        parsed = parse_url(url, allow_http_loopback=self.allow_http_loopback)
        try:
            if self.proxy_for(parsed) is not None:
                self.check(parsed)
            else:
                self.addresses(parsed, timeout_s=_REGISTRATION_LOOKUP_S)
        except AddressNotAllowedError as error:
            log.warning("an endpoint at %s was refused: %s", parsed.host, error.detail)
            problem = f"{error}: {error.allowed}" if error.allowed else str(error)
            raise InvalidInputError("url", problem) from None
        except (OSError, UnicodeError):
            pass
        return parsed

    def _found(self, host: str, timeout_s: float) -> tuple[Address, ...]:
        address = _number(host)
        return (address,) if address is not None else self._resolver.resolve(host, timeout_s=timeout_s)

    def _check_port(self, url: EndpointUrl) -> None:
        if not self._ports.permits(url.port):
            detail = f"port {url.port} needs NOTEFLOW_HOOKS_EGRESS_PORTS to allow it"
            raise AddressNotAllowedError(self._ports.refusal(url.port), detail=detail)

    def _check_addresses(self, url: EndpointUrl, found: Iterable[Address]) -> None:
        for address in found:
            if not self._permits_for(url, address):
                raise AddressNotAllowedError(NOT_ALLOWED, detail=self._reason(address), allowed=_ALLOWED)

    def _permits_for(self, url: EndpointUrl, address: Address) -> bool:
        if self.permits(address):
            return True
        is_switched_on = self.allow_http_loopback and url.scheme == "http" and url.host in LOOPBACK_HOSTS
        return is_switched_on and address.is_loopback and not self._denies(unmapped(address))

    def _denies(self, address: Address) -> bool:
        return any(address in network for network in self._denied)

    def _reason(self, address: Address) -> str:
        """Return why the address is forbidden. For an operator only: it reveals what an internal name resolves to."""
        if self._denies(unmapped(address)):
            return f"{address} is in NOTEFLOW_HOOKS_EGRESS_DENY"
        return f"{address} is not public, and needs NOTEFLOW_HOOKS_EGRESS_ALLOW to allow it"


def _literal(host: str) -> Address | None:
    """Return the address if the host is one, or loopback for ``localhost`` and names below it; None for other names."""
    address = _number(host)
    if address is not None:
        return address
    return _LOOPBACK if host.removesuffix(".").rpartition(".")[2] == "localhost" else None


@lru_cache(maxsize=1024)
def _number(host: str) -> Address | None:
    """Return the address if the host is one."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def _network(name: str, text: str) -> Network:
    try:
        network = ip_network(text.strip())
    except ValueError:
        raise InvalidInputError(name, f"{text!r} is no network such as 10.1.0.0/16 or fd00::/8") from None
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped is not None:
        raise InvalidInputError(name, f"{text!r} must be written as the IPv4 network that it stands for")
    return network
