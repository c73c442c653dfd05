"""What a setting's text may be: each function returns it, or raises ValueError, maybe with what is wrong."""

from __future__ import annotations

import ipaddress
import re
from datetime import timedelta
from typing import Annotated, Final, TypeAlias
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field

from noteflow_hooks.crypto import parse_keys
from noteflow_hooks.domain.urls import parse_url
from noteflow_hooks.egress.ports import Ports
from noteflow_hooks.egress.proxy import parse_proxy
from noteflow_hooks.errors import InvalidInputError
from noteflow_hooks.mail.smtp_url import SmtpAddress, parse_sender
from noteflow_hooks.redis_url import RedisAddress

_HOST_NAME: Final = re.compile(r"(?=.{1,253}$)[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*")


def keys(text: str) -> str:
    """Check that it holds keys."""
    try:
        parse_keys(text)
    except InvalidInputError as error:
        raise ValueError(error.problem) from None
    return text


def networks(text: str) -> str:
    """Check that it lists networks."""
    for part in parts(text):
        network = ipaddress.ip_network(part)
        # Mapped addresses are compared as the IPv4 addresses that they stand for, so such a network would match
        # nothing.
        if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped is not None:
            raise ValueError(part)
    return text


def ports(text: str) -> str:
    """Check that it lists ports and ranges."""
    try:
        Ports(text)
    except InvalidInputError as error:
        raise ValueError(error.problem) from None
    return text


def http_url(text: str) -> str:
    """Check that it is a URL with a host, for http or https."""
    parsed = urlsplit(text)
    if parsed.scheme not in ("http", "https") or not parsed.hostname or parsed.query or parsed.fragment:
        raise ValueError
    return text


def pairs(text: str) -> str:
    """Check that it lists names with values."""
    pairs_in(text)
    return text


def pairs_in(text: str) -> dict[str, str]:
    """Return the names with their values, which are written as in a URL (W3C Baggage, 3.3.1); raise ValueError."""
    found = {}
    for part in parts(text):
        name, separator, value = part.partition("=")
        if not (name.strip() and separator):
            raise ValueError
        found[name.strip()] = unquote(value.strip())
    return found


def hosts(text: str) -> str:
    """Check that it lists hosts' names."""
    for part in parts(text):
        try:
            is_host = parse_url(f"https://{part}/").host == part.lower()
        except InvalidInputError:
            is_host = False
        if not is_host:
            raise ValueError(part)
    return text


def proxy(text: str) -> str:
    """Check that it is a proxy's URL."""
    try:
        parse_proxy(text)
    except InvalidInputError as error:
        raise ValueError(error.problem) from None
    return text


def schedule(text: str) -> str:
    """Check that it is a retry schedule's name, or a list of waits."""
    if text not in ("exponential", "standard"):
        durations(text)
    return text


def database(text: str) -> str:
    """Check what needs no libpq, which checks the rest as it connects. Several hosts may be named, each with a port."""
    # Not by urlsplit: some Pythons refuse several hosts where one is an IPv6 address.
    scheme, _, rest = text.partition("://")
    hosts = re.split("[/?#]", rest, maxsplit=1)[0].rpartition("@")[2].split(",")
    ports = [host.rpartition("]")[2].partition(":")[2] for host in hosts]
    if scheme not in ("postgresql", "postgres", "postgresql+psycopg"):
        raise ValueError("no such URL")
    if not all(not port or (port.isdecimal() and 0 < int(port) <= 65535) for port in ports):  # noqa: PLR2004 - the highest port
        raise ValueError("no such port")
    return text


def redis_url(text: str) -> str:
    """Check that it is Redis' URL, and that the files are there that it names."""
    RedisAddress.parse(text).check_files()
    return text


def smtp_url(text: str) -> str:
    """Check that it is a mail server's URL."""
    SmtpAddress.parse(text)
    return text


def mail_from(text: str) -> str:
    """Check that it is an address, or a name with one."""
    parse_sender(text)
    return text


def page(text: str) -> str:
    """Check that it is a site's URL, without a query."""
    parts = urlsplit(text)
    host = parts.hostname or ""
    is_plain = text.isprintable() and text.isascii() and not set(text) & set(' <>,"') and not parts.username
    if parts.scheme not in ("https", "http") or not host or parts.query or parts.fragment or not is_plain:
        raise ValueError("no site's URL")
    return text


def host_name(text: str) -> str:
    """Check that it is one host's name."""
    if _HOST_NAME.fullmatch(text) is None:
        raise ValueError(text)
    return text


def bind(text: str) -> str:
    """Check that it is an address and a port, or a socket's path."""
    if text.startswith("unix:") and text != "unix:":
        return text
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:  # noqa: PLR2004 - the highest port
        raise ValueError(text)
    return text


def address(text: str) -> str:
    """Check that it is an address and a port."""
    if text.startswith("unix:"):
        raise ValueError(text)
    return bind(text)


def host_names(text: str) -> str:
    """Check that it lists names, or addresses in brackets."""
    for name in parts(text):
        if not re.fullmatch(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]", name):
            raise ValueError(name)
    return text


Seconds: TypeAlias = Annotated[float, Field(gt=0, le=10**9, allow_inf_nan=False)]
Days: TypeAlias = Annotated[float, Field(gt=0, le=36_500, allow_inf_nan=False)]
Networks: TypeAlias = Annotated[str, AfterValidator(networks)]
Address: TypeAlias = Annotated[str, AfterValidator(address)]


def durations(text: str) -> tuple[timedelta, ...]:
    """Return the waits of a list such as ``5s,5m,2h``; a bare number is seconds."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
    waits = []
    for part in parts(text):
        number, unit = (part[:-1], part[-1]) if part[-1] in units else (part, "s")
        wait = float(number) * units[unit]
        if not 0 < wait <= 31_536_000:  # noqa: PLR2004 - a year; also refuses NaN
            raise ValueError(part)
        waits.append(timedelta(seconds=wait))
    if not waits:
        raise ValueError(text)
    return tuple(waits)


def parts(text: str) -> list[str]:
    """Return what stands between commas."""
    return [part.strip() for part in text.split(",") if part.strip()]
