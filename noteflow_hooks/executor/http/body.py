"""An answer's body, piece by piece until its framing says that it ends (RFC 9112, 6 and 7).

Strict where a lenient reader would guess: behind the end of a body that was misread lies what passes for the next
answer. A body that is not framed as it should be ends with an error, after the pieces that came before.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from noteflow_hooks.executor.http.faults import protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from noteflow_hooks.executor.http.inbox import Inbox

#: The most bytes of a piece.
_PIECE: Final = 65_536
#: A size in hex, and an extension, which means nothing to us. No sign, no ``0x``, no underscore: ``int`` takes all
#: three.
_CHUNK: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")


def pieces(inbox: Inbox, *, is_chunked: bool, length: int | None) -> Iterator[bytes]:
    """Yield what comes until the body's end; with neither chunks nor a length, until the connection's."""
    if is_chunked:
        return _chunks(inbox)
    if length is not None:
        return _sized(inbox, length)
    return iter(lambda: inbox.read1(_PIECE), b"")


def _sized(inbox: Inbox, left: int) -> Iterator[bytes]:
    while left:
        piece = inbox.read1(min(left, _PIECE))
        if not piece:
            raise protocol("body broken off")
        left -= len(piece)
        yield piece


def _chunks(inbox: Inbox) -> Iterator[bytes]:
    while size := _chunk_size(inbox):
        yield from _sized(inbox, size)
        if inbox.read(2) != b"\r\n":
            raise protocol("malformed chunk")
    # Trailers are read for their end alone.
    while (line := inbox.readline()) != b"\r\n":
        if not line.endswith(b"\n"):
            raise protocol("body broken off")


def _chunk_size(inbox: Inbox) -> int:
    match = _CHUNK.fullmatch(inbox.readline())
    if match is None:
        raise protocol("malformed chunk")
    return int(match[1], 16)
