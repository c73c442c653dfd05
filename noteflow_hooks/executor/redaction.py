"""Removes from answers what they repeat of their endpoint's credentials: not all who may read deliveries may see those.

The API never shows a header's value, but an endpoint that echoes its request, as many do while they are debugged, would
put it on record. We decode the answer and look for the credentials in the result, and do not look for each encoded form
of each credential: so the work grows with the answer's length only, whatever it contains.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from noteflow_hooks.domain.headers import VALUE_LIMIT
from noteflow_hooks.executor.credentials import LEAST, credentials
from noteflow_hooks.executor.encodings import ESCAPES, HTML, LONGEST_TOKEN, PERCENT, Encoding
from noteflow_hooks.executor.per_version import PerVersion

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from noteflow_hooks.domain.webhooks import WebhookConfig

REDACTED: Final = b"[redacted]"
#: The most bytes that an encoded credential takes up in an answer.
LONGEST: Final = VALUE_LIMIT * LONGEST_TOKEN
#: The most bytes that are searched, counted once for each credential. If an answer would take more, since its endpoint
#: has so many credentials, nothing of it is kept.
SEARCHED_LIMIT: Final = 64 * 4096

_CREDENTIALS: Final = PerVersion(credentials)
#: How answers may encode what they repeat, the outer encoding first. JSON may contain HTML, or JSON as text.
_WAYS: Final = ((PERCENT,), (HTML,), (ESCAPES,), (ESCAPES, HTML), (ESCAPES, ESCAPES))
#: The decoded texts, each by the encodings that were decoded.
_Texts: TypeAlias = dict[tuple[Encoding, ...], bytes]


def without_credentials(body: bytes, webhook: WebhookConfig, *, keep: int) -> bytes:
    """Return the first ``keep`` bytes of a body, with a mark in place of each credential that begins in them.

    To find one that begins in the last of these bytes, ``body`` must hold :data:`LONGEST` more, if there are more.
    """
    hidden = _CREDENTIALS.of(webhook) if len(body) >= LEAST else ()
    if not hidden:
        return body[:keep]
    if len(hidden) * min(len(body), keep) > SEARCHED_LIMIT:
        return REDACTED[:keep]
    kept, end = bytearray(), 0
    for start, stop in sorted(_places(body[: keep + LONGEST_TOKEN * max(map(len, hidden))], hidden, keep)):
        if start >= end:
            kept += body[end:start] + REDACTED
        end = max(end, stop)
    kept += body[end : max(end, keep)]
    return bytes(kept[:keep])


def _places(body: bytes, hidden: Sequence[bytes], keep: int) -> Iterator[tuple[int, int]]:
    """Yield start and end of each credential in the body that begins before ``keep``, however it is encoded."""
    texts = _texts(body)
    for way, text in texts.items():
        if found := list(_found(text, hidden, keep)):
            origins = _origins(texts, way, until=max(stop for _, stop in found))
            yield from ((origins[start], origins[stop]) for start, stop in found if origins[start] < keep)


def _texts(body: bytes) -> _Texts:
    """Return the body, and the body decoded in each of the ways that change it."""
    texts: _Texts = {(): body}
    for way in _WAYS:
        outer, encoding = texts.get(way[:-1]), way[-1]
        if outer is not None and encoding.token.search(outer) is not None:
            texts[way] = encoding.decoded(outer)
    return texts


def _origins(texts: _Texts, way: tuple[Encoding, ...], *, until: int) -> Sequence[int]:
    """Return where in the body each byte of the text decoded that way comes from, up to its byte number ``until``."""
    if not way:
        return range(until + 1)
    inner = way[-1].origins(texts[way[:-1]], until=until)
    outer = _origins(texts, way[:-1], until=inner[-1])
    return [outer[place] for place in inner]


def _found(text: bytes, hidden: Iterable[bytes], keep: int) -> Iterator[tuple[int, int]]:
    for each in hidden:
        # Decoding never moves a byte to the right: what begins behind this limit also begins behind ``keep`` in the
        # body.
        limit = keep - 1 + len(each)
        start = text.find(each, 0, limit)
        while start >= 0:
            stop = start + len(each)
            yield start, stop
            start = text.find(each, stop, limit)
