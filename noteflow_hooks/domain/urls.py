"""Endpoint URLs, parsed strictly. Requests go to the URL as it is written anew from its parts."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final
from unicodedata import normalize
from urllib.parse import quote, urlsplit

from noteflow_hooks.errors import InvalidInputError

#: What stands for a URL's path and query where they are not shown.
MASK: Final = "…"
#: The most characters an endpoint's URL may have.
URL_LIMIT: Final = 2048
#: The hosts to which plain http may be allowed. The database's CHECK names the same ones.
LOOPBACK_HOSTS: Final = ("localhost", "127.0.0.1", "::1")

_OWN_PORT: Final = {"https": 443, "http": 80}
_FORBIDDEN: Final = re.compile(r"[\x00-\x20\x7f-\x9f\\]|\s")
#: 253 characters of name and the root's dot behind it (RFC 1035, 2.3.4).
_HOST_LIMIT: Final = 254
_LABEL_LIMIT: Final = 63
#: The characters that IDNA treats as a dot (RFC 3490, 3.1).
_DOTS: Final = re.compile("[.\u3002\uff0e\uff61]")
#: The part between the scheme and the path, and its greatest length: a host, its brackets and a port.
_AUTHORITY: Final = re.compile(r"(?<=//)[^/?#]*|\Z")
_AUTHORITY_LIMIT: Final = _HOST_LIMIT + len("[]:65535")
_OCTETS: Final = 4
_OCTET: Final = re.compile(r"0|[1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5]")
#: Letters that IDNA 2003 and IDNA 2008 turn into different hosts (UTS #46, "Deviations").
_AMBIGUOUS: Final = re.compile("[\u00df\u03c2\u200c\u200d]")
#: A URL as :func:`parse_url` writes it, or as a preset's is shown, and nothing else; the host is a group.
_HOST_PART: Final = re.compile(
    r"(?:https://(?P<host>[a-z0-9_.-]+|\[[0-9a-f:.]+\])|http://(?P<loopback>localhost|127\.0\.0\.1|\[::1\]))"
    r"(?::[0-9]{1,5})?(?:[/?][!-~]*|/…)?"
)
_PATH_SAFE: Final = "/%:@!$&'()*+,;=~-._"
_QUERY_SAFE: Final = _PATH_SAFE + "?"
#: Most URLs as they are written anew, so that all rules hold but those on the scheme, the port and the lengths: a name
#: of ASCII labels, the last of which begins with a letter, or four numbers; a path and query that need no quoting.
_LABEL: Final = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NUMBER: Final = "(?:0|[1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5])"
_PLAIN: Final = re.compile(
    rf"(https?)://((?:{_LABEL}\.){{0,126}}(?=[a-z_]){_LABEL}|(?:{_NUMBER}\.){{3}}{_NUMBER})(?::([1-9][0-9]{{0,4}}))?"
    rf"(/[A-Za-z0-9{re.escape(_PATH_SAFE)}]*(?:\?[A-Za-z0-9{re.escape(_QUERY_SAFE)}]+)?)"
)
_HIGHEST_PORT: Final = 65_535


@dataclass(frozen=True, slots=True)
class EndpointUrl:
    """An endpoint's URL in parts; ``host`` has no brackets, ``target`` is path and query as they are sent."""

    scheme: str
    host: str
    port: int
    target: str = field(repr=False)

    def __str__(self) -> str:
        """Return the URL, with its port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        is_own = self.port == _OWN_PORT[self.scheme]
        return f"{self.scheme}://{host}{'' if is_own else f':{self.port}'}{self.target}"


def parse_url(url: str, *, allow_http_loopback: bool = False) -> EndpointUrl:
    """Return the URL in parts, or raise :class:`InvalidInputError` with what is wrong.

    https is required; ``allow_http_loopback`` allows http to ``localhost``, ``127.0.0.1`` and ``[::1]``.
    """
    _check_length(url)
    plain = _PLAIN.fullmatch(url)
    if plain is not None and len(plain[2]) <= _HOST_LIMIT and int(plain[3] or 0) <= _HIGHEST_PORT:
        # Past all that follows, which takes ten times as long: workers parse each endpoint's URL.
        scheme, host, port_text, target = plain.groups()
        _check_scheme(scheme, host, allow_http_loopback=allow_http_loopback)
        return EndpointUrl(scheme, host, int(port_text or _OWN_PORT[scheme]), target)
    return _parsed(url, allow_http_loopback=allow_http_loopback)


def _parsed(url: str, *, allow_http_loopback: bool) -> EndpointUrl:
    if url.endswith(MASK):
        raise InvalidInputError("url", f"ends in {MASK}, as a URL that is shown without its path; give the whole one")
    if not url.isprintable() or _FORBIDDEN.search(url):
        raise InvalidInputError("url", "must not contain spaces, control characters or backslashes")
    # urlsplit normalises all of it, which takes milliseconds for 2,000 letters that stand for 18 others each.
    if len(_AUTHORITY.search(url)[0]) > _AUTHORITY_LIMIT:  # type: ignore[index]  # it matches the empty text too
        raise _no_host_name()
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InvalidInputError("url", "is malformed; allowed is https://host[:port]/path?query") from None
    _check_scheme(parts.scheme, parts.hostname or "", allow_http_loopback=allow_http_loopback)
    host = _host(parts.hostname or "", authority=parts.netloc)
    if parts.username is not None or parts.password is not None:
        raise InvalidInputError("url", "must not contain a user name or password")
    if parts.fragment or "#" in url:
        raise InvalidInputError("url", "must not contain a fragment (#)")
    if port == 0:
        raise InvalidInputError("url", "must have a port from 1 to 65535")
    target = quote(parts.path or "/", safe=_PATH_SAFE)
    if parts.query:
        target += "?" + quote(parts.query, safe=_QUERY_SAFE)
    parsed = EndpointUrl(parts.scheme, host, port or _OWN_PORT[parts.scheme], target)
    # Once more: escapes have made it longer, and what is stored is parsed again for every attempt.
    _check_length(str(parsed))
    return parsed


@lru_cache(maxsize=1024)
def host_of(url: str) -> str:
    """Return the host of a stored URL, for logs; a dash for one that :func:`parse_url` would not write so."""
    found = _HOST_PART.fullmatch(url)
    return (found["host"] or found["loopback"]).strip("[]") if found is not None else "-"


def _check_length(url: str) -> None:
    if len(url) > URL_LIMIT:
        raise InvalidInputError("url", f"has {len(url)} characters; at most {URL_LIMIT} are allowed")


def _check_scheme(scheme: str, host: str, *, allow_http_loopback: bool) -> None:
    if scheme == "https" or (scheme == "http" and allow_http_loopback and host in LOOPBACK_HOSTS):
        return
    also = "" if not allow_http_loopback else ", or http:// to localhost, 127.0.0.1 or [::1]"
    raise InvalidInputError("url", f"must start with https://{also}")


def _host(host: str, *, authority: str) -> str:
    if not host:
        raise InvalidInputError("url", "must name a host, as in https://host/path")
    if "%" in host:
        raise InvalidInputError("url", "must not contain % in its host")
    if authority.startswith("["):
        return _ipv6(host, authority=authority)
    _check_size(host)
    if _AMBIGUOUS.search(host):
        raise InvalidInputError("url", "has a host name that not all programs read alike; write it as xn--")
    try:
        ascii_host = host.encode("idna").decode("ascii").lower() if not host.isascii() else host.lower()
    except UnicodeError:
        raise _no_host_name() from None
    labels = ascii_host.removesuffix(".").split(".")
    if len(ascii_host) > _HOST_LIMIT or not all(
        re.fullmatch(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", label) for label in labels
    ):
        raise _no_host_name()
    _check_number(labels, is_rooted=ascii_host.endswith("."))
    return ascii_host


def _check_size(host: str) -> None:
    """Refuse a name that is too long before IDNA encodes it, since the cost of that grows faster than the name."""
    written_out = normalize("NFKC", host)
    if len(written_out) > _HOST_LIMIT or any(len(label) > _LABEL_LIMIT for label in _DOTS.split(written_out)):
        raise _no_host_name()


def _no_host_name() -> InvalidInputError:
    return InvalidInputError("url", "has a host name that is not valid")


def _ipv6(host: str, *, authority: str) -> str:
    """Return the address. Checked here, since how strict urlsplit is about brackets depends on Python's version."""
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        raise InvalidInputError("url", "has an IPv6 address that is not valid") from None
    if not re.fullmatch(r"\[[^]]*\](:[0-9]*)?", authority):
        raise InvalidInputError("url", "has something between its IPv6 address and its port")
    return host


def _check_number(labels: list[str], *, is_rooted: bool) -> None:
    """Refuse what other programs read as an address in another notation (WHATWG URL, "ends in a number").

    An address with a dot behind it is one of those: here it would count as a name and be looked up.
    """
    if not re.fullmatch(r"[0-9]+|0x[0-9a-f]*", labels[-1]):
        return
    if is_rooted or len(labels) != _OCTETS or not all(_OCTET.fullmatch(label) for label in labels):
        raise InvalidInputError("url", "has an IPv4 address that is not written as four decimal numbers")
