"""The operator's proxy: it is given an endpoint's name and port, looks the name up and decides whether to connect."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote_to_bytes, urlsplit

from noteflow_hooks.errors import InvalidInputError

#: Nothing that could break out of a header's line, or be read in two ways.
_URL: Final = re.compile(r"[!-~]+")
_SHAPE: Final = "must be http://[user:password@]host:port"


@dataclass(frozen=True, slots=True)
class EgressProxy:
    """Where the proxy is, and the credentials that it is sent."""

    host: str
    port: int
    #: The value of ``Proxy-Authorization`` (RFC 7617), or None. A secret.
    authorization: str | None = field(default=None, repr=False)


def parse_proxy(url: str) -> EgressProxy:
    """Return the proxy that ``http://[user:password@]host:port`` names.

    InvalidInputError says what is wrong and repeats nothing of the URL, which may hold a password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InvalidInputError("egress_proxy", _SHAPE) from None
    is_bare = parts.path in ("", "/") and not (parts.query or parts.fragment)
    if parts.scheme != "http" or not parts.hostname or not port or not is_bare or not _URL.fullmatch(url):
        raise InvalidInputError("egress_proxy", _SHAPE)
    return EgressProxy(parts.hostname, port, _authorization(parts.username, parts.password))


def _authorization(user: str | None, password: str | None) -> str | None:
    if user is None:
        return None
    name = unquote_to_bytes(user)
    # The first colon ends the name (RFC 7617, 2): a colon in the name would cut it short.
    if b":" in name:
        raise InvalidInputError("egress_proxy", "must have a user name without a colon")
    return "Basic " + base64.b64encode(name + b":" + unquote_to_bytes(password or "")).decode("ascii")
