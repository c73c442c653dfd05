"""Reads an answer's body piece by piece, to the end that its framing gives it (RFC 9112, 6 and 7).

It is strict where a lenient reader would guess: if a body's end is misread, what follows is taken for the next answer.
A body with wrong framing ends with an error, after the pieces that came before the fault.
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
#: A size in hex and an extension, which we ignore. A sign, ``0x`` and underscores are refused here, since ``int`` would
#: take all three.
_CHUNK: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")


def pieces(inbox: Inbox, *, is_chunked: bool, length: int | None) -> Iterator[bytes]:
    """Yield what comes until the body's end. With neither chunks nor a length, that is the connection's end."""
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
    # Trailers are read only to find their end.
    while (line := inbox.readline()) != b"\r\n":
        if not line.endswith(b"\n"):
            raise protocol("body broken off")


def _chunk_size(inbox: Inbox) -> int:
    match = _CHUNK.fullmatch(inbox.readline())
    if match is None:
        raise protocol("malformed chunk")
    return int(match[1], 16)
