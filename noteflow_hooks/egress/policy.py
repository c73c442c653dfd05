"""The egress rules: the operator's denials first, then the operator's permissions, then the built-in table."""

from __future__ import annotations

from ipaddress import IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Final

from noteflow_hooks.domain.urls import LOOPBACK_HOSTS, EndpointUrl, parse_url
from noteflow_hooks.egress.ranges import is_public, unmapped
from noteflow_hooks.egress.resolver import Lookup, Resolver, system_lookup
from noteflow_hooks.errors import AddressNotAllowedError, InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from noteflow_hooks.egress.ranges import Address, Network

#: What a tenant is told. Never the address: that would answer what a name inside our network resolves to.
NOT_ALLOWED: Final = "address not allowed"
#: Less than the server gives a call that uses the database, in which a registration's look-up happens.
_REGISTRATION_LOOKUP_S: Final = 1.0


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
        allow_http_loopback: bool = False,
        lookup: Lookup = system_lookup,
    ) -> None:
        """Take CIDRs; raise :class:`InvalidInputError` that names the first one that is wrong."""
        self._allowed = tuple(_network("egress_allow", each) for each in allow)
        self._denied = tuple(_network("egress_deny", each) for each in deny)
        self.allow_http_loopback = allow_http_loopback
        self._resolver = Resolver(lookup)

    def permits(self, address: Address | str) -> bool:
        """Tell whether the address may be dialled; text that is no address may not."""
        try:
            plain = unmapped(ip_address(address))
        except ValueError:
            return False
        if any(plain in network for network in self._denied):
            return False
        return any(plain in network for network in self._allowed) or is_public(plain)

    def addresses(self, url: EndpointUrl, *, timeout_s: float) -> tuple[Address, ...]:
        """Return the addresses to try for the URL, in order, looked up and checked now.

        One forbidden answer forbids them all: :class:`AddressNotAllowedError`. TimeoutError when time is up, another
        OSError where the name has no address.
        """
        found = self._found(url.host, timeout_s)
        if not all(self._permits_for(url, address) for address in found):
            raise AddressNotAllowedError(NOT_ALLOWED)
        return found

    def check_url(self, url: str) -> EndpointUrl:
        """Return the URL in parts if it may be registered now, else raise :class:`InvalidInputError`.

        A name that has no address yet is let pass: every attempt checks again.
        """
        parsed = parse_url(url, allow_http_loopback=self.allow_http_loopback)
        try:
            self.addresses(parsed, timeout_s=_REGISTRATION_LOOKUP_S)
        except AddressNotAllowedError:
            raise InvalidInputError("url", NOT_ALLOWED) from None
        except (OSError, UnicodeError):
            pass
        return parsed

    def _found(self, host: str, timeout_s: float) -> tuple[Address, ...]:
        try:
            return (ip_address(host),)
        except ValueError:
            return self._resolver.resolve(host, timeout_s=timeout_s)

    def _permits_for(self, url: EndpointUrl, address: Address) -> bool:
        if self.permits(address):
            return True
        is_switched_on = self.allow_http_loopback and url.scheme == "http" and url.host in LOOPBACK_HOSTS
        return is_switched_on and address.is_loopback and not any(address in each for each in self._denied)


def _network(name: str, text: str) -> Network:
    try:
        network = ip_network(text.strip())
    except ValueError:
        raise InvalidInputError(name, f"{text!r} is no network such as 10.1.0.0/16 or fd00::/8") from None
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped is not None:
        raise InvalidInputError(name, f"{text!r} must be written as the IPv4 network that it stands for")
    return network
