"""Reads one response from a connection, and tells afterwards whether anything was left unread."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class _Incoming(io.RawIOBase):
    """The bytes that come in on a connection, up to an allowance."""

    def __init__(self, receive: Callable[[memoryview], int]) -> None:
        super().__init__()
        self._receive = receive
        self.allowance = sys.maxsize
        #: While set, reads return "nothing yet", so that the reader above can look at its buffer without filling it.
        self.paused = False
        #: Whether any byte has come.
        self.has_input = False
        #: Whether the other side has closed, or the allowance was used up.
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401 - any writable buffer, as io says
        if self.paused:
            return None
        room = memoryview(buffer)[: self.allowance]
        count = self._receive(room) if room else 0
        self.allowance -= count
        if count:
            self.has_input = True
        else:
            self.ended = True
        return count


class Inbox(io.BufferedReader):
    """A buffered reader of one response. Once closed, it tells whether anything was left unread."""

    def __init__(self, receive: Callable[[memoryview], int]) -> None:
        """``receive`` puts at least one byte into the buffer and returns how many; 0 means that there are no more."""
        incoming = _Incoming(receive)
        super().__init__(incoming)
        self._incoming = incoming
        self._surplus = 0

    def allow(self, count: int) -> None:
        """Let at most ``count`` more bytes be read, buffered ones included; after them comes the end."""
        self._incoming.allowance = max(0, count - self._buffered())

    def close(self) -> None:
        """Close, and note how many bytes were left unread."""
        if not self.closed:
            self._surplus = self._buffered()
        super().close()

    @property
    def has_input(self) -> bool:
        """Whether any byte has come, read or not."""
        return self._incoming.has_input

    @property
    def is_clean(self) -> bool:
        """Whether, once closed, all that came was read and the connection has not ended."""
        return not (self._surplus or self._incoming.ended)

    def _buffered(self) -> int:
        self._incoming.paused = True
        count = len(self.peek())
        self._incoming.paused = False
        return count
