"""Messages of which all comes but the last byte, by hand over HTTP/2, as far as the server's windows let them."""

from __future__ import annotations

import struct
import time
from typing import TYPE_CHECKING, Final

from tests.support.http2 import (
    DATA,
    GOAWAY,
    HEADERS,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    frame,
    head,
    settings,
)

if TYPE_CHECKING:
    from tests.support.http2 import RawConnection

PATH: Final = "/noteflow.v1.MeetingService/StreamAudioSegments"
WINDOW_UPDATE: Final = 8
_INITIAL_WINDOW: Final = 4
_DEFAULT_WINDOW: Final = 65_535
_FRAME: Final = 16_384


class UnfinishedMessages:
    """Streams over one connection, each in the middle of a message that never ends."""

    def __init__(self, connection: RawConnection, token: str, *, streams: int, size: int) -> None:
        self._connection = connection
        ids = range(1, 2 * streams, 2)
        self._left = dict.fromkeys(ids, size + 4)
        self._windows = dict.fromkeys(ids, _DEFAULT_WINDOW)
        self._window, self._initial = _DEFAULT_WINDOW, _DEFAULT_WINDOW
        self._size = size
        self._begun: set[int] = set()
        #: Streams that the server has ended.
        self.ended: set[int] = set()
        connection.send(PREFACE, settings(), *(head(PATH, token=token, stream=each) for each in ids))

    def send_for(self, seconds: float) -> None:
        """Send what the windows allow, for so long."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for each in self._connection.frames_at_hand(wait_s=0.05):
                self._heed(each.kind, each.stream, each.payload)
            self._send()

    def _heed(self, kind: int, stream: int, payload: bytes) -> None:
        if kind == WINDOW_UPDATE:
            more = int.from_bytes(payload)
            if stream == 0:
                self._window += more
            elif stream in self._windows:
                self._windows[stream] += more
        elif kind == SETTINGS and payload:
            self._set(payload)
        elif kind in (RST_STREAM, HEADERS):
            self.ended.add(stream)
            self._windows.pop(stream, None)
        elif kind == GOAWAY:
            raise AssertionError(payload)

    def _set(self, payload: bytes) -> None:
        for name, value in struct.iter_unpack(">HI", payload):
            if name == _INITIAL_WINDOW:
                self._windows = {each: window + value - self._initial for each, window in self._windows.items()}
                self._initial = value
        self._connection.send(frame(SETTINGS, flags=1))

    def _send(self) -> None:
        for stream, window in self._windows.items():
            size = min(window, self._left[stream], self._window, _FRAME)
            if size <= 0:
                continue
            data = bytes(size)
            if stream not in self._begun:
                self._begun.add(stream)
                data = (b"\0" + struct.pack(">I", self._size) + data)[:size]
            self._connection.send(frame(DATA, data, stream=stream))
            self._windows[stream] -= size
            self._left[stream] -= size
            self._window -= size
