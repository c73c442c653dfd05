"""A process between the workers and their servers that delays whatever passes, in both directions.

Its arguments are ``TARGET [TARGET ...]``, each the path of a Unix socket or a port on loopback. It prints the ports
that stand for them, in their order. Each line on its standard input says by how many ms to lengthen a round trip; the
answer is ``null``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections import deque
from contextlib import suppress

from noteflow_hooks.bench.surroundings import HOST

_PIECE = 65_536


class _Delay:
    """How long each direction is delayed, in seconds; one value for all connections."""

    def __init__(self) -> None:
        self.way_s = 0.0


class _OneWay:
    """One direction of a connection; it keeps the order."""

    def __init__(self, delay: _Delay, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._delay = delay
        self._reader = reader
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[bytes] = deque()

    async def run(self) -> None:
        with suppress(ConnectionError):
            while piece := await self._reader.read(_PIECE):
                if self._delay.way_s:
                    self._waiting.append(piece)
                    self._loop.call_later(self._delay.way_s, self._pass_on)
                else:
                    self._writer.write(piece)
        await asyncio.sleep(self._delay.way_s)
        self._writer.close()

    def _pass_on(self) -> None:
        if not self._writer.is_closing():
            self._writer.write(self._waiting.popleft())


async def _stand_for(target: str, delay: _Delay) -> int:
    """Listen for connections that go to the target; return the port."""

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            ours = await (
                asyncio.open_connection(HOST, int(target)) if target.isdigit() else asyncio.open_unix_connection(target)
            )
        except OSError:
            writer.close()
            return
        await asyncio.gather(_OneWay(delay, reader, ours[1]).run(), _OneWay(delay, ours[0], writer).run())

    server = await asyncio.start_server(join, HOST, 0)
    port: int = server.sockets[0].getsockname()[1]
    return port


async def _serve(targets: list[str]) -> None:
    delay = _Delay()
    _say([await _stand_for(target, delay) for target in targets])
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        delay.way_s = float(line) / 2000
        _say(None)


def _say(answer: object) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Serve until the standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="+")
    asyncio.run(_serve(parser.parse_args().targets))


if __name__ == "__main__":
    main()
