"""A small name server over UDP and TCP (RFC 1035), whose answers may turn, be late, be refusals, or never come."""

from __future__ import annotations

import contextlib
import socketserver
import struct
import threading
from collections import Counter
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

SERVFAIL: Final = 2
NXDOMAIN: Final = 3

_A: Final = 1
_AAAA: Final = 28
_HEAD: Final = struct.Struct("!6H")
#: A pointer to the question's name, type, class IN, a lifetime of 0 s and a length.
_RECORD: Final = struct.Struct("!HHHIH")
_NAME_IN_QUESTION: Final = 0xC00C
#: Response, authoritative; recursion as it was desired and available.
_FLAGS: Final = 0x8580
_TRUNCATED: Final = 0x0200
#: What fits into a datagram without EDNS.
_DATAGRAM_LIMIT: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """What is said of one name: ``turns`` are the addresses of the first look-up, of the second, and round again."""

    turns: tuple[Sequence[str], ...] = ((),)
    #: An RCODE other than 0 instead of addresses.
    code: int = 0
    delay_s: float = 0
    is_silent: bool = False
    #: Said nothing of until :meth:`NameServer.release`.
    is_held: bool = False


class NameServer:
    """Knows those names, and no others; use it as a context manager."""

    def __init__(self, zones: Mapping[str, Zone]) -> None:
        self._zones = dict(zones)
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._released = threading.Event()
        #: How often each name was asked for its addresses of each type, 1 (A) or 28 (AAAA).
        self.asked: Counter[tuple[str, int]] = Counter()

    def __enter__(self) -> Self:
        self._stack = contextlib.ExitStack()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self.release()
        self._stack.close()

    def release(self) -> None:
        """Answer whoever has asked for a held name, and whoever asks for one from now on."""
        self._released.set()

    def serve(self, host: str, port: int) -> None:
        """Begin to answer there."""
        servers = _Datagrams((host, port), _DatagramHandler), _Streams((host, port), _StreamHandler)
        for server in servers:
            server.names = self
            self._stack.enter_context(server)
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
            self._stack.callback(server.shutdown)

    def answer(self, query: bytes, *, limit: int) -> bytes | None:
        """Return the answer, cut to its head where it has more bytes than ``limit``; None where there is none."""
        number, _, _, _, _, _ = _HEAD.unpack_from(query)
        name, kind, question = _question(query)
        zone = self._zones.get(name, Zone(code=NXDOMAIN))
        records = _records(self._turn(name, kind, zone), kind)
        if zone.is_silent:
            return None
        if zone.is_held:
            self._released.wait()
        if zone.delay_s:
            self._closing.wait(zone.delay_s)
        answer = _HEAD.pack(number, _FLAGS | zone.code, 1, len(records), 0, 0) + question + b"".join(records)
        if len(answer) > limit:
            return _HEAD.pack(number, _FLAGS | _TRUNCATED, 1, 0, 0, 0) + question
        return answer

    def _turn(self, name: str, kind: int, zone: Zone) -> Sequence[str]:
        with self._lock:
            turn = self.asked[name, kind]
            self.asked[name, kind] += 1
        return zone.turns[turn % len(zone.turns)]


def _question(query: bytes) -> tuple[str, int, bytes]:
    """Return the name asked for, the record type, and the question's bytes."""
    labels, place = [], _HEAD.size
    while length := query[place]:
        labels.append(query[place + 1 : place + 1 + length].decode("ascii"))
        place += 1 + length
    end = place + 5
    return ".".join(labels).lower(), int.from_bytes(query[place + 1 : place + 3], "big"), query[_HEAD.size : end]


def _records(addresses: Sequence[str], kind: int) -> list[bytes]:
    parsed = [ip_address(each) for each in addresses]
    fitting = [each for each in parsed if kind == (_A if isinstance(each, IPv4Address) else _AAAA)]
    return [_RECORD.pack(_NAME_IN_QUESTION, kind, 1, 0, len(each.packed)) + each.packed for each in fitting]


class _Datagrams(socketserver.ThreadingUDPServer):
    daemon_threads = True
    block_on_close = False
    names: NameServer


class _Streams(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    names: NameServer


class _DatagramHandler(socketserver.BaseRequestHandler):
    server: _Datagrams

    def handle(self) -> None:
        query, sock = self.request
        answer = self.server.names.answer(query, limit=_DATAGRAM_LIMIT)
        if answer is not None:
            sock.sendto(answer, self.client_address)


class _StreamHandler(socketserver.StreamRequestHandler):
    server: _Streams

    def handle(self) -> None:
        while len(head := self.rfile.read(2)) == 2:
            answer = self.server.names.answer(self.rfile.read(int.from_bytes(head, "big")), limit=65_535)
            if answer is None:
                return
            self.wfile.write(len(answer).to_bytes(2, "big") + answer)
