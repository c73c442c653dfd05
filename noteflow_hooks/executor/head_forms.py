"""The headers of requests and answers as they go on record: without what is secret, within bounds, fit to be stored."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from noteflow_hooks.domain.exchanges import CUT, HEADERS_KEPT, HEADERS_KEPT_BYTES, REDACTED, Blank, HeaderForm, Headers
from noteflow_hooks.executor.redaction import without_credentials

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from noteflow_hooks.domain.webhooks import WebhookConfig

#: What stands for itself in a request's form: whatever the attempt's own row tells.
_TOLD: Final = {
    "x-noteflow-delivery": Blank.DELIVERY,
    "webhook-id": Blank.MESSAGE,
    "webhook-timestamp": Blank.TIMESTAMP,
}
#: With a signature, who may only read could send the receiver a request that it takes for ours.
_SIGNATURES: Final = frozenset({"x-noteflow-signature", "webhook-signature"})
#: What differs from request to request.
_OWN: Final = frozenset(
    {
        "host", "content-length", "traceparent", "x-noteflow-sequence", "x-noteflow-gap", "x-noteflow-batch",
        "webhook-request-rate",
    }
)  # fmt: skip
#: Names of answers' headers whose values are or may be credentials; a challenge to show some is none.
_SECRET: Final = re.compile(r"auth|cookie|token|secret|session|passw|api-?key|credential|signature")
_NO_SECRET: Final = frozenset({"www-authenticate", "proxy-authenticate"})
#: What most receivers say in all of their answers alike.
_ALIKE: Final = frozenset(
    {
        "accept-ranges", "access-control-allow-credentials", "access-control-allow-headers",
        "access-control-allow-methods", "access-control-allow-origin", "access-control-expose-headers", "allow",
        "alt-svc", "cache-control", "connection", "content-encoding", "content-language", "content-security-policy",
        "content-type", "cross-origin-opener-policy", "cross-origin-resource-policy", "expires", "keep-alive",
        "permissions-policy", "pragma", "referrer-policy", "server", "strict-transport-security", "transfer-encoding",
        "vary", "via", "www-authenticate", "x-content-type-options", "x-dns-prefetch-control", "x-download-options",
        "x-frame-options", "x-permitted-cross-domain-policies", "x-powered-by", "x-xss-protection",
    }
)  # fmt: skip
_LINE: Final = re.compile(rb"\r\n([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n]*)")
#: Control characters, and what ends a line in some eyes.
_UNFIT: Final = re.compile("[\x00-\x08\n-\x1f\x7f-\x9f\u2028\u2029]")
#: The most bytes of an answer's headers that are looked at.
_LOOKED_AT: Final = 2 * HEADERS_KEPT_BYTES


def sent_headers(head: bytes, *, custom: Collection[str], own: Collection[str] = ()) -> Headers:
    """Return a request's headers of its head; ``custom`` are the names of those that the endpoint's owner has set.

    ``own`` are the names of further ones that differ from request to request.
    """
    hidden, differ = {each.lower() for each in custom}, _OWN | {each.lower() for each in own}
    lines: list[tuple[str, str | Blank]] = []
    values = []
    for name, value in _pairs(head):
        lowered = name.lower()
        if lowered in hidden or lowered in _SIGNATURES:
            lines.append((name, REDACTED))
        elif lowered in differ:
            lines.append((name, Blank.OWN))
            values.append(value)
        else:
            lines.append((name, _TOLD.get(lowered, value)))
    return Headers(_form(tuple(lines)), tuple(values))


def heard_headers(fields: bytes, webhook: WebhookConfig) -> Headers:
    """Return an answer's headers; ``fields`` are its lines, each behind its line's end.

    What repeats a credential of the endpoint has a mark in its place, whatever the header's name is. Of too many, or
    too long ones, the first are kept, and a last line says how many were left out.
    """
    shown = without_credentials(fields, webhook, keep=_LOOKED_AT)
    lines: list[tuple[str, str | Blank]] = []
    values, room = [], HEADERS_KEPT_BYTES
    for name, value in _pairs(shown):
        if len(lines) == HEADERS_KEPT or room <= len(name):
            break
        lowered = name.lower()
        kept = value if not _SECRET.search(lowered) or lowered in _NO_SECRET else REDACTED
        room -= len(name)
        kept, room = _within(kept, room)
        lines.append((name, kept if lowered in _ALIKE else Blank.OWN))
        if lowered not in _ALIKE:
            values.append(kept)
    left_out = fields.count(b"\r\n") - len(lines)
    if left_out:
        lines.append((CUT, Blank.OWN))
        values.append(f"{left_out} more")
    return Headers(_form(tuple(lines)), tuple(values))


def _within(value: str, room: int) -> tuple[str, int]:
    """Return as much of the value as there is room for, with a mark where it is cut, and the room that is left."""
    size = len(value.encode())
    if size <= room:
        return value, room - size
    return f"{value.encode()[:room].decode(errors='ignore')}{CUT}", 0


def _pairs(fields: bytes) -> Iterable[tuple[str, str]]:
    for match in _LINE.finditer(fields):
        yield match[1].decode("ascii"), _text(match[2].rstrip(b" \t"))


def _text(value: bytes) -> str:
    """Return a value as text that can be stored and shown: UTF-8, else Latin-1, without control characters."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = value.decode("latin-1")
    return _UNFIT.sub("\ufffd", text)


@lru_cache(maxsize=2048)
def _form(lines: tuple[tuple[str, str | Blank], ...]) -> HeaderForm:
    """Return the one form of these lines: attempts that have it in common name the same."""
    return HeaderForm(lines)
