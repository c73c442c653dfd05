"""An answer that has come already, for what reads answers: no socket, and nothing to wait for."""

from __future__ import annotations

from noteflow_hooks.executor.http.wire import Wire


class Arrived(Wire):
    """Bytes that have come in, and then the connection's end."""

    def __init__(self, data: bytes) -> None:
        self._left = memoryview(data)

    def recv_into(self, buffer: memoryview) -> int:
        """Hand on what there is room for."""
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    def rest(self, seconds: float) -> None:
        """Lose no time."""
