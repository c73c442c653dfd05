"""Calls made of bare HTTP/2 frames: gRPC's own client doesn't send what no metadata may hold."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS = 0, 1, 4
_END_STREAM, _END_HEADERS = 1, 4
_LONG: Final = 127


def status_of_call(address: str, method: str, *headers: tuple[bytes, bytes]) -> int:
    """Call the method with an empty message and such headers, and return the answer's ``grpc-status``."""
    sent = [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", method.encode()),
        (b":authority", b"localhost"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
        *headers,
    ]
    block = b"".join(b"\x10" + _text(name) + _text(value) for name, value in sent)
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as connection:
        connection.sendall(
            _PREFACE
            + _frame(_SETTINGS, 0, 0, b"")
            + _frame(_HEADERS, _END_HEADERS, 1, block)
            + _frame(_DATA, _END_STREAM, 1, bytes(5))
        )
        return next(status for status in map(_status, _answer(connection)) if status is not None)


def _answer(connection: socket.socket) -> Iterator[bytes]:
    """Yield the header blocks of the first stream."""
    with connection.makefile("rb") as incoming:
        while head := incoming.read(9):
            body = incoming.read(int.from_bytes(head[:3]))
            if head[3] == _HEADERS and int.from_bytes(head[5:]) == 1:
                yield body


def _status(block: bytes) -> int | None:
    """Return the status, which gRPC writes out in full: no Huffman code, no table of its own."""
    _, found, rest = block.partition(b"\x0bgrpc-status")
    return int(rest[1 : 1 + rest[0]]) if found else None


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def _text(value: bytes) -> bytes:
    """Return a string as RFC 7541, section 5.2, writes it without Huffman coding."""
    rest = len(value) - _LONG
    if rest < 0:
        return bytes([len(value)]) + value
    length = [_LONG]
    while rest >= 128:
        length.append(rest % 128 + 128)
        rest //= 128
    return bytes([*length, rest]) + value
