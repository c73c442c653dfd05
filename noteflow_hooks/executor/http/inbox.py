"""Reads one response from a connection, and tells afterwards whether anything was left unread."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class _Incoming(io.RawIOBase):
    """The bytes that have come in on a connection, and those that come yet, up to an allowance."""

    def __init__(self, receive: Callable[[memoryview], int], came: bytes) -> None:
        super().__init__()
        self._receive = receive
        #: What has come and was not read yet.
        self.came = memoryview(came)
        self.allowance = sys.maxsize
        #: While set, reads return "nothing yet", so that the reader above can look at its buffer without filling it.
        self.paused = False
        #: Whether the other side has closed, or the allowance was used up.
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401 - any writable buffer, as io says
        if self.paused:
            return None
        room = memoryview(buffer)[: self.allowance]
        count = self._fill(room) if room else 0
        self.allowance -= count
        if not count:
            self.ended = True
        return count

    def _fill(self, room: memoryview) -> int:
        if not self.came:
            return self._receive(room)
        count = min(len(room), len(self.came))
        room[:count] = self.came[:count]
        self.came = self.came[count:]
        return count


class Inbox(io.BufferedReader):
    """A buffered reader of one response. Once closed, it tells whether anything was left unread."""

    def __init__(self, receive: Callable[[memoryview], int], *, came: bytes = b"") -> None:
        """``receive`` puts at least one byte into the buffer and returns how many; 0 means that there are no more.

        ``came`` has been received already, and is read first.
        """
        incoming = _Incoming(receive, came)
        super().__init__(incoming)
        self._incoming = incoming
        self._surplus = 0

    def allow(self, count: int) -> None:
        """Let at most ``count`` more bytes be read, buffered ones included; after them comes the end."""
        self._incoming.allowance = max(0, count - self._buffered())

    def close(self) -> None:
        """Close, and note how many bytes were left unread."""
        if not self.closed:
            self._surplus = self._buffered() + len(self._incoming.came)
        super().close()

    @property
    def is_clean(self) -> bool:
        """Whether, once closed, all that came was read and the connection has not ended."""
        return not (self._surplus or self._incoming.ended)

    def _buffered(self) -> int:
        self._incoming.paused = True
        count = len(self.peek())
        self._incoming.paused = False
        return count
