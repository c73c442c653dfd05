"""REDIS_URL, read once and strictly: each part by name, and what is no part of such a URL is refused.

The libraries behind it guess: they take ``redis://:123/Secret9@host:6379/0`` for port 123 of this machine.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, unquote

#: The options that a ``rediss`` URL may end with, as redis-py names them.
_FILES: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_WORDS: Final = {"ssl_cert_reqs": ("required", "none"), "ssl_check_hostname": ("true", "false")}
OPTIONS: Final = (*_FILES, *_WORDS)

_ENCODED: Final = "in a name or password / ? # @ and % are written %2F %3F %23 %40 and %25"
_DEFAULT_PORT: Final = 6379
_HIGHEST_PORT: Final = 65_535
#: What a name or a password may have as it is; all else is escaped.
_LETTER: Final = r"(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})"
_USER_INFO: Final = re.compile(rf"(?P<name>{_LETTER}*)(?::(?P<password>(?:{_LETTER}|:)*))?")
_PLACE: Final = re.compile(r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,6}))?")
_DATABASE: Final = re.compile(r"[0-9]{1,5}")


class RedisUrlError(ValueError):
    """Says what is wrong with a URL and what is allowed, and repeats nothing of it: it may hold a password."""


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where Redis is, and how to get in."""

    host: str
    port: int
    database: int
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    #: None speaks plaintext. Else the options that the URL has, by redis-py's names.
    tls: dict[str, str] | None = None

    @classmethod
    def parse(cls, text: str) -> RedisAddress:
        """Read a URL; raise RedisUrlError."""
        scheme, separator, rest = text.partition("://")
        if not separator or scheme not in ("redis", "rediss"):
            raise RedisUrlError("it begins with neither redis:// nor rediss://")
        if not rest.isascii() or not rest.isprintable() or set(rest) & set(" #"):
            raise RedisUrlError(f"it has a character that no URL has here; {_ENCODED}")
        place, _, query = rest.partition("?")
        place, _, database = place.partition("/")
        user_info, _, host = place.rpartition("@")
        # The place comes first: what a password's own / or ? cuts off leaves no host, and that is the slip to name.
        where = _host_and_port(host)
        username, password = _user(user_info)
        return cls(*where, _database(database), username, password, _tls(scheme, query))

    @property
    def url(self) -> str:
        """The URL without options, with the password."""
        who = f"{quote(self.username or '', safe='')}:{quote(self.password or '', safe='')}@"
        host = f"[{self.host}]" if ":" in self.host else self.host
        scheme = "redis" if self.tls is None else "rediss"
        return f"{scheme}://{who if who != ':@' else ''}{host}:{self.port}/{self.database}"

    @property
    def ssl_options(self) -> dict[str, Any]:
        """What redis-py takes as arguments, with certificate and name checked by default; empty for plaintext."""
        if self.tls is None:
            return {}
        is_checked = self.tls.get("ssl_cert_reqs") != "none"
        names = {"ssl_check_hostname": is_checked and self.tls.get("ssl_check_hostname") != "false"}
        return {"ssl_cert_reqs": "required", **self.tls, **names}

    @property
    def celery_options(self) -> dict[str, Any]:
        """The settings of a Celery app for this broker."""
        return {"broker_url": self.url, "broker_use_ssl": self.ssl_options or False}

    def check_files(self) -> None:
        """Read the files that the options name; raise RedisUrlError for the first that is not what it should be."""
        options = self.tls if self.tls is not None else {}
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            if "ssl_ca_certs" in options:
                context.load_verify_locations(options["ssl_ca_certs"])
        except (OSError, ValueError):
            raise RedisUrlError("ssl_ca_certs names no PEM file with certificates") from None
        try:
            if "ssl_certfile" in options:
                context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"), password=_no_password)
        except (OSError, ValueError):
            raise RedisUrlError("ssl_certfile and ssl_keyfile name no PEM files of a certificate and its key") from None


def _host_and_port(text: str) -> tuple[str, int]:
    found = _PLACE.fullmatch(text)
    if found is None:
        raise RedisUrlError(f"before its database stands no host, or none with a port behind it; {_ENCODED}")
    host, port = found["host"].strip("[]"), found["port"] or str(_DEFAULT_PORT)
    if not 0 < int(port) <= _HIGHEST_PORT:
        raise RedisUrlError(f"its port is no number from 1 to {_HIGHEST_PORT}")
    return host, int(port)


def _database(text: str) -> int:
    if text and _DATABASE.fullmatch(text) is None:
        raise RedisUrlError(f"after its host and one / stands no database's number; {_ENCODED}")
    return int(text or "0")


def _user(text: str) -> tuple[str | None, str | None]:
    found = _USER_INFO.fullmatch(text)
    if found is None:
        raise RedisUrlError(f"its user's name or password has a character that must be escaped; {_ENCODED}")
    return _unescaped(found["name"]) or None, _unescaped(found["password"] or "") or None


def _unescaped(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise RedisUrlError("its escapes are no text in UTF-8") from None


def _tls(scheme: str, query: str) -> dict[str, str] | None:
    known, options = ", ".join(OPTIONS), dict[str, str]()
    for part in query.split("&") if query else ():
        name, _, value = part.partition("=")
        if scheme == "redis":
            raise RedisUrlError(f"it has options, and only rediss:// may have some: {known}")
        if name not in OPTIONS or name in options:
            raise RedisUrlError(f"it has an option that is unknown or stands twice; there are {known}")
        options[name] = _option(name, _unescaped(value))
    if "ssl_keyfile" in options and "ssl_certfile" not in options:
        raise RedisUrlError("it has ssl_keyfile without ssl_certfile")
    return options if scheme == "rediss" else None


def _option(name: str, value: str) -> str:
    allowed = _WORDS.get(name)
    if allowed is not None and value not in allowed:
        raise RedisUrlError(f"its {name} is neither {' nor '.join(allowed)}")
    if not value:
        raise RedisUrlError(f"its {name} names no file")
    return value


def _no_password() -> str:
    """Keep OpenSSL from asking at the terminal."""
    raise ValueError("the key is encrypted")
