"""What an answer repeats of its endpoint's credentials is not kept: who may read deliveries may not read those.

The API never shows a header's value. An endpoint that echoes its request, as many do while they are debugged, would put
it on record all the same. The answer is decoded, and the credentials looked for in what comes of it, instead of the
answer being searched for each form of each: the work grows with the answer's length, whatever it is made of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from noteflow_hooks.domain.headers import VALUE_LIMIT
from noteflow_hooks.executor.credentials import LEAST, credentials
from noteflow_hooks.executor.encodings import ESCAPES, HTML, LONGEST_TOKEN, PERCENT, Encoding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from noteflow_hooks.domain.webhooks import WebhookConfig

REDACTED: Final = b"[redacted]"
#: The most bytes that a credential takes in an answer.
LONGEST: Final = VALUE_LIMIT * LONGEST_TOKEN
#: The most bytes that are searched, each credential's counted by themselves. An endpoint with so many credentials that
#: its answer would take more is kept nothing of it.
SEARCHED_LIMIT: Final = 64 * 4096

#: How answers write what they repeat, the outer encoding first. JSON may hold HTML, or JSON as text.
_WAYS: Final = ((PERCENT,), (HTML,), (ESCAPES,), (ESCAPES, HTML), (ESCAPES, ESCAPES))
#: A text by the way in which it was decoded.
_Texts: TypeAlias = dict[tuple[Encoding, ...], bytes]


def without_credentials(body: bytes, webhook: WebhookConfig, *, keep: int) -> bytes:
    """Return the first ``keep`` bytes of a body, a mark in the place of each credential that begins in them.

    For one that begins in the last of them to be found, the body must go on for :data:`LONGEST` bytes.
    """
    hidden = credentials(webhook) if len(body) >= LEAST else ()
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
    """Yield where credentials stand in the body that begin before ``keep``, in whatever way they are written."""
    texts = _texts(body)
    for way, text in texts.items():
        if found := list(_found(text, hidden, keep)):
            origins = _origins(texts, way, until=max(stop for _, stop in found))
            yield from ((origins[start], origins[stop]) for start, stop in found if origins[start] < keep)


def _texts(body: bytes) -> _Texts:
    """Return the body, and what it says in each way in which something in it is written."""
    texts: _Texts = {(): body}
    for way in _WAYS:
        outer, encoding = texts.get(way[:-1]), way[-1]
        if outer is not None and encoding.token.search(outer) is not None:
            texts[way] = encoding.decoded(outer)
    return texts


def _origins(texts: _Texts, way: tuple[Encoding, ...], *, until: int) -> Sequence[int]:
    """Return where in the body each byte of what it says that way stood, up to that one."""
    if not way:
        return range(until + 1)
    inner = way[-1].origins(texts[way[:-1]], until=until)
    outer = _origins(texts, way[:-1], until=inner[-1])
    return [outer[place] for place in inner]


def _found(text: bytes, hidden: Iterable[bytes], keep: int) -> Iterator[tuple[int, int]]:
    for each in hidden:
        # A decoded text is no longer than it was before, so what begins behind this did so there as well.
        limit = keep - 1 + len(each)
        start = text.find(each, 0, limit)
        while start >= 0:
            stop = start + len(each)
            yield start, stop
            start = text.find(each, stop, limit)
