"""TLS in front of a real server that has none built in, and a record of what crosses the wire before it.

with TlsFront(port, context) as front:
    ...  # something that speaks TLS with front.port
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    import ssl

_HOST: Final = "127.0.0.1"
#: How a connection begins that speaks TLS: a handshake's record, of version 3.x.
_HANDSHAKE: Final = b"\x16\x03"


class TlsFront:
    """The front; use it as a context manager."""

    def __init__(self, target_port: int, context: ssl.SSLContext) -> None:
        """What comes through goes to that port of this machine, unencrypted."""
        self._target_port = target_port
        self._context = context
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tls front", daemon=True)
        #: What each connection's client has put on the wire, as it went over it.
        self.wires: list[bytearray] = []
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(timeout=10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(timeout=10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()

    @property
    def bytes_sent(self) -> bytes:
        """All that clients have put on the wire."""
        return b"".join(map(bytes, self.wires))

    @property
    def is_all_tls(self) -> bool:
        """Whether there were connections, and each has begun with a handshake."""
        return bool(self.wires) and all(not wire or wire.startswith(_HANDSHAKE) for wire in self.wires)

    async def _open(self) -> None:
        self._inner = await asyncio.start_server(self._decrypted, _HOST, 0, ssl=self._context)
        self._outer = await asyncio.start_server(self._recorded, _HOST, 0)
        self.port = self._outer.sockets[0].getsockname()[1]
        self._inner_port = self._inner.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._outer.close()
        self._inner.close()
        ours = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not ours]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _recorded(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = bytearray()
        self.wires.append(wire)
        await _join(reader, writer, self._inner_port, wire)

    async def _decrypted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _join(reader, writer, self._target_port, None)


async def _join(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, record: bytearray | None
) -> None:
    with contextlib.suppress(OSError, asyncio.CancelledError):
        there, back = await asyncio.open_connection(_HOST, port)
        await asyncio.gather(_pump(reader, back, record), _pump(there, writer, None))


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, record: bytearray | None) -> None:
    with contextlib.suppress(OSError, asyncio.CancelledError):
        while data := await source.read(65_536):
            if record is not None:
                record += data
            sink.write(data)
            await sink.drain()
    sink.close()
