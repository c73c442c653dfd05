"""Custom headers, which an endpoint gets beside those of every request. Values are secrets; no error repeats one.

Refused are headers that the request itself sets, and those that say where a message ends or where it goes: a receiver,
or a proxy before it, that reads these otherwise than we do takes one request for two (RFC 9112, 11.2).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from noteflow_hooks.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterable

#: The most headers that an endpoint may have.
HEADERS_LIMIT: Final = 20
NAME_LIMIT: Final = 255
VALUE_LIMIT: Final = 4096
#: The most bytes that all of them may have as they are sent.
SIZE_LIMIT: Final = 16_384
#: The names that are refused, in any case, and with ``_`` for ``-`` too: many receivers treat the two alike.
DENIED: Final = (
    "Accept-Encoding",
    "Connection",
    "Content-Encoding",
    "Content-Length",
    "Content-Type",
    "Date",
    "Expect",
    "Forwarded",
    "Host",
    "HTTP2-Settings",
    "Keep-Alive",
    # Only an answer has it; Cookie, which may be a credential like Authorization, is allowed.
    "Set-Cookie",
    "TE",
    "traceparent",
    "tracestate",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    "User-Agent",
    "Via",
)
#: What refused names begin with.
DENIED_PREFIXES: Final = ("ce-", "proxy-", "sec-", "webhook-", "x-forwarded-", "x-noteflow-")

_DENIED: Final = frozenset(name.lower() for name in DENIED)
#: Of these, what earlier releases allowed, so that it may be stored: where the request has one itself, that one goes.
_OF_TRACE: Final = frozenset({"traceparent", "tracestate"})
_ONCE_ALLOWED: Final = _OF_TRACE
_ONCE_ALLOWED_PREFIX: Final = "ce-"
_NOT_ALLOWED: Final = f"not allowed are {', '.join(DENIED)} and what begins with {', '.join(DENIED_PREFIXES)}"
#: RFC 9110, 5.6.2.
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]*")
#: RFC 9110, 5.5, without what is not ASCII.
_VALUE: Final = re.compile(r"[!-~](?:[\t -~]*[!-~])?")
#: A colon, a space and the line's end.
_LINE_BYTES: Final = 4


def check_headers(pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Return the headers, names with values, if they may be sent, else raise :class:`InvalidInputError`.

    It names the header and what is allowed, and repeats no value.
    """
    return _checked(pairs, once_allowed=False)


def check_stored_headers(pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Return the same, and let pass what an earlier release has allowed."""
    return _checked(pairs, once_allowed=True)


def is_once_allowed(name: str) -> bool:
    """Tell whether it is one that only earlier releases allowed."""
    folded = name.lower().replace("_", "-")
    return folded in _ONCE_ALLOWED or folded.startswith(_ONCE_ALLOWED_PREFIX)


def is_of_trace(name: str) -> bool:
    """Tell whether it is one of those that tell of a trace."""
    return name.lower().replace("_", "-") in _OF_TRACE


def _checked(pairs: Iterable[tuple[str, str]], *, once_allowed: bool) -> tuple[tuple[str, str], ...]:
    headers = tuple(pairs)
    if len(headers) > HEADERS_LIMIT:
        raise _refusal(f"there are {len(headers)} headers; at most {HEADERS_LIMIT} are allowed")
    seen: set[str] = set()
    for position, (name, value) in enumerate(headers, start=1):
        _check_name(name, position=position, once_allowed=once_allowed)
        if name.lower() in seen:
            raise _refusal(f"{name!r} is given twice; each name may be given once, whatever its case")
        seen.add(name.lower())
        _check_value(value, name=name)
    size = sum(len(name) + len(value) + _LINE_BYTES for name, value in headers)
    if size > SIZE_LIMIT:
        raise _refusal(f"have {size} bytes as sent; at most {SIZE_LIMIT} in all are allowed")
    return headers


def _check_name(name: str, *, position: int, once_allowed: bool) -> None:
    token = name[: _TOKEN.match(name).end()]  # type: ignore[union-attr]  # it matches the empty text too
    if token != name:
        # The rest is not repeated: it may be a value that was put into the wrong place.
        after = f" after {token[:NAME_LIMIT]!r}" if token else ""
        raise _refusal(
            f"the name of header {position} has {name[len(token)]!r}{after};"
            " allowed are letters, digits and any of !#$%&'*+-.^_`|~"
        )
    if not 0 < len(name) <= NAME_LIMIT:
        raise _refusal(f"the name of header {position} has {len(name)} characters; allowed are 1 to {NAME_LIMIT}")
    folded = name.lower().replace("_", "-")
    is_denied = folded in _DENIED or folded.startswith(DENIED_PREFIXES)
    if is_denied and not (once_allowed and is_once_allowed(name)):
        raise _refusal(f"{name!r} can't be set; {_NOT_ALLOWED}")


def _check_value(value: str, *, name: str) -> None:
    if not 0 < len(value) <= VALUE_LIMIT:
        raise _refusal(f"the value of {name!r} has {len(value)} characters; allowed are 1 to {VALUE_LIMIT}")
    if _VALUE.fullmatch(value) is None:
        raise _refusal(
            f"the value of {name!r} is not allowed; allowed is visible ASCII, with spaces and tabs inside only"
        )


def _refusal(problem: str) -> InvalidInputError:
    return InvalidInputError("headers", problem)
