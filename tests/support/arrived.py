"""An answer that has come already, for what reads answers: no socket, and nothing to wait for."""

from __future__ import annotations

from typing import Final

from noteflow_hooks.executor.http.wire import Wire

#: The most bytes that come from a socket at once.
_PIECE: Final = 16_384


class Arrived(Wire):
    """Bytes that have come in, in these pieces, and then the connection's end."""

    def __init__(self, *pieces: bytes) -> None:
        self._left = [memoryview(piece) for piece in pieces if piece]

    def receive(self) -> bytes:
        """Hand on a piece."""
        return bytes(self._next(_PIECE))

    def recv_into(self, buffer: memoryview) -> int:
        """Hand on what there is room for."""
        piece = self._next(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def now(self) -> float:
        """Return the same moment always."""
        return 1.0

    def rest(self, seconds: float) -> None:
        """Lose no time."""

    def _next(self, most: int) -> memoryview:
        if not self._left:
            return memoryview(b"")
        piece = self._left[0][:most]
        rest = self._left[0][most:]
        self._left[:1] = [rest] if rest else []
        return piece
