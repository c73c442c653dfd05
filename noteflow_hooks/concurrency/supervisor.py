"""What a supervisor such as systemd is told of this process: that it has started, and that it still turns.

The protocol is systemd's sd_notify: a datagram to the socket that ``NOTIFY_SOCKET`` names.
"""

from __future__ import annotations

import contextlib
import os
import socket


class Supervisor:
    """Whoever started this process and asked to be told; nobody, where ``NOTIFY_SOCKET`` is not set."""

    def __init__(self) -> None:
        """Look who is to be told."""
        self._address = os.environ.get("NOTIFY_SOCKET", "")
        self._socket: socket.socket | None = None

    def tell(self, note: str) -> None:
        """Send the note, such as ``WATCHDOG=1``; it never waits or raises, and a note that can't be sent is lost."""
        if self._address:
            with contextlib.suppress(OSError):
                self._open().sendto(note.encode(), self._address.replace("@", "\0", 1))

    def close(self) -> None:
        """Tell no more."""
        self._address = ""
        if self._socket is not None:
            self._socket.close()

    def _open(self) -> socket.socket:
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.settimeout(0)
        return self._socket
