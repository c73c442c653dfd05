"""DATABASE_URL, read as libpq reads it: each of its options works, or is refused by its name; none is dropped."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import parse_qsl

import sqlalchemy
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import Conninfo, PGconn

from noteflow_hooks.errors import SettingsError

_NAME: Final = "NOTEFLOW_HOOKS_DATABASE_URL"
_WANTED: Final = "a URL such as postgresql://user:password@host:5432/name, with libpq's own options only"
_SCHEME: Final = re.compile(r"postgres(?:ql)?(?:\+psycopg)?://")
#: libpq reads a percent sign as the beginning of an escape, whatever follows.
_BARE_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
#: What a session is told in ``options``, in either form; ``-c`` may stand behind other letters.
_SESSION: Final = re.compile(r"(?:-\w*?c\s*|--)([\w.-]+)\s*=")
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_HIGHEST_PORT: Final = 65_535

#: What only we may say: statements of ours name tables and moments by it.
_OURS: Final = frozenset({"search_path", "timezone"})
_WRITABLE: Final = ("any", "read-write", "primary")
_NUMBERS: Final = (
    "connect_timeout",
    *("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"),
)
#: Where libpq finds no server, so that it says no more than what it thinks of the options.
_NOWHERE: Final = "/nonexistent"


def parameters_in(url: str, *, pooled: bool = False) -> dict[str, Any]:
    """Return libpq's parameters as the URL has them; raise SettingsError, which repeats none, for what can't work.

    ``pooled`` says that a pooler of transactions stands before the database.
    """
    if not _SCHEME.match(url):
        raise _refused()
    _check_names(url)
    try:
        found = conninfo_to_dict(_BARE_PERCENT.sub("%25", _SCHEME.sub("postgresql://", url, count=1)))
    except (ProgrammingError, ValueError):
        raise _refused() from None
    _check_values(found, pooled=pooled)
    return found


def engine_url(parameters: dict[str, Any]) -> sqlalchemy.URL:
    """Take out of the parameters what SQLAlchemy's URL says of them, and return that."""
    taken = {name: parameters.pop(name, None) for name in ("user", "password", "dbname")}
    host, port = parameters.get("host"), parameters.get("port")
    place: dict[str, Any] = {}
    if host and "," not in f"{host}{port}" and not host.startswith("/"):
        place = {"host": parameters.pop("host"), "port": int(parameters.pop("port", None) or 5432)}
    elif host and host.startswith("/"):
        place = {"query": {name: parameters.pop(name) for name in ("host", "port") if name in parameters}}
    return sqlalchemy.URL.create(
        "postgresql+psycopg", taken["user"], taken["password"], database=taken["dbname"], **place
    )


def _check_names(url: str) -> None:
    """Refuse what libpq doesn't know, and what stands there twice: it would take the last one alone."""
    # Pythons differ in what they take for a host in brackets; libpq knows.
    query = url.partition("?")[2].partition("#")[0]
    if "@" in query:
        # A password with a question mark in it, most likely, which nobody is to be shown a part of.
        raise _refused()
    names = [name for name, _ in parse_qsl(query, keep_blank_values=True)]
    known = {each.keyword.decode() for each in Conninfo.get_defaults()} | {"ssl"}
    for name in names:
        if name not in known:
            raise _refused(f"libpq knows no option {name!r}")
        if names.count(name) > 1:
            raise _refused(f"its option {name!r} stands there twice; several hosts are separated by commas")


def _check_values(found: dict[str, Any], *, pooled: bool) -> None:
    if not all(_is_port(each) for each in str(found.get("port", "")).split(",")):
        raise _refused()
    if found.get("replication", "false").lower() not in ("false", "off", "no", "0"):
        raise _refused("its option 'replication' makes a connection that takes no statements of ours")
    if found.get("client_encoding", "utf8").lower().replace("-", "") != "utf8":
        raise _refused("its option 'client_encoding' may hold UTF8 alone")
    if found.get("target_session_attrs", "any") not in _WRITABLE:
        raise _refused(f"its option 'target_session_attrs' may hold {', '.join(_WRITABLE)}: all else takes no writes")
    set_names = _set_names(found.get("options", ""))
    if set_names & _OURS:
        raise _refused(f"its option 'options' may not set {min(set_names & _OURS)}, which is fixed")
    if pooled and "options" in found:
        raise _refused("its option 'options' does not hold behind a pooler; ALTER ROLE … SET does")
    for name in _NUMBERS:
        if not found.get(name, "0").isdecimal():
            raise _refused(f"its option {name!r} must hold a whole number")
    _ask_libpq(found)


def _set_names(options: str) -> set[str]:
    """Return the names that the options set, as PostgreSQL reads them: a hyphen stands for an underscore."""
    return {name.lower().replace("-", "_") for name in _SESSION.findall(_ESCAPED.sub(r"\1", options))}


def _ask_libpq(found: dict[str, Any]) -> None:
    """Refuse what libpq would refuse before it dials anybody; it is asked with a place where there is no server."""
    options = {name: value for name, value in found.items() if name not in ("host", "hostaddr", "port")}
    attempt = PGconn.connect_start(make_conninfo("", host=_NOWHERE, **options).encode())
    message = attempt.get_error_message()
    attempt.finish()
    if not message.startswith("connection to server"):
        named = [name for name in options if re.search(rf"\b{name}\b", message)]
        raise _refused(f"libpq refuses {', '.join(map(repr, named)) or 'its options'}")


def _is_port(text: str) -> bool:
    return not text or (text.isascii() and text.isdigit() and 0 < int(text) <= _HIGHEST_PORT)


def _refused(why: str = "") -> SettingsError:
    return SettingsError(f"{_NAME} must hold {_WANTED}" + (f": {why}" if why else ""))
