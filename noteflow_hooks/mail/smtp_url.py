"""Where the mail server is, and how it is spoken to: what ``SMTP_URL`` and ``MAIL_FROM`` may hold."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

from noteflow_hooks.domain.contacts import check_address
from noteflow_hooks.errors import InvalidInputError

#: The ways, and the port of each where the URL names none.
_PORTS: Final = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
_HOST: Final = re.compile(r"[A-Za-z0-9._-]{1,253}")
_NAME: Final = "NoteFlow Hooks"
#: An address alone, or in angle brackets behind a name that needs no quotes.
_SENDER: Final = re.compile(r"(?P<alone>[^<>\s]+)|(?P<name>[^<>\"\\@,;:()\[\]]*)<(?P<address>[^<>\s]+)>")
_NAME_LIMIT: Final = 100


class SmtpUrlError(ValueError):
    """The text is no mail server's URL; says why, and repeats none of it."""


@dataclass(frozen=True, slots=True)
class SmtpAddress:
    """A mail server."""

    host: str
    port: int
    #: TLS from the first byte on, or begun by ``STARTTLS``, which has to work then; without either, nothing is.
    is_tls: bool = False
    starts_tls: bool = False
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, text: str) -> SmtpAddress:
        """Return what the URL names; raise SmtpUrlError. User and password are percent-encoded."""
        if not text.isprintable() or " " in text:
            raise SmtpUrlError("it has a character that no URL has")
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            raise SmtpUrlError("its host or port can't be read") from None
        if parts.scheme not in _PORTS:
            raise SmtpUrlError(f"it must begin with {', '.join(f'{each}://' for each in _PORTS)}")
        host = parts.hostname or ""
        if not (_HOST.fullmatch(host) or _is_address(host)) or port == 0:
            raise SmtpUrlError("it names no host, or no port from 1 to 65535")
        if parts.path not in ("", "/") or parts.query or parts.fragment:
            raise SmtpUrlError("nothing may follow the host and the port")
        user, password = _credentials(parts.username, parts.password)
        if password is not None and parts.scheme == "smtp" and not is_loopback(host):
            raise SmtpUrlError("smtp:// would send the password in the clear; use smtps:// or smtp+starttls://")
        return cls(
            host,
            port if port is not None else _PORTS[parts.scheme],
            is_tls=parts.scheme == "smtps",
            starts_tls=parts.scheme == "smtp+starttls",
            user=user,
            password=password,
        )

    def __str__(self) -> str:
        """Return host and port, as logs have them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def sender_of(text: str | None, server: SmtpAddress) -> tuple[str, str]:
    """Return the name and the address that mails come from.

    Where none is set that is the user whom the server knows, if it is an address, or else ``noteflow-hooks`` there.
    """
    if text:
        return parse_sender(text)
    try:
        return _NAME, check_address(server.user or "")
    except InvalidInputError:
        host = f"[{server.host}]" if _is_address(server.host) else server.host
        return _NAME, f"noteflow-hooks@{host}"


def parse_sender(text: str) -> tuple[str, str]:
    """Return the name and the address of ``hooks@example.com`` or ``Name <hooks@example.com>``; raise ValueError."""
    found = _SENDER.fullmatch(text)
    if found is None or not text.isprintable() or len(found["name"] or "") > _NAME_LIMIT:
        raise ValueError("no address, and no name with an address")
    try:
        return (found["name"] or "").strip() or _NAME, check_address(found["alone"] or found["address"])
    except InvalidInputError as error:
        raise ValueError(error.problem) from None


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine, by its name or its address."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _credentials(user: str | None, password: str | None) -> tuple[str | None, str | None]:
    if user is None and password is None:
        return None, None
    try:
        name, word = unquote(user or "", errors="strict"), unquote(password or "", errors="strict")
    except UnicodeDecodeError:
        name = word = ""
    if not (name and word and name.isprintable() and word.isprintable()):
        raise SmtpUrlError("user and password are set together, percent-encoded, and without line breaks")
    return name, word
