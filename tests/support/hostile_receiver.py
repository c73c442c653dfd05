"""What receivers do wrong, each as a behaviour of a :class:`~tests.support.receiver.Receiver`'s connection."""

from __future__ import annotations

import itertools
import ssl
from typing import TYPE_CHECKING

from tests.support.certificates import authority, server_context

if TYPE_CHECKING:
    from tests.support.receiver_connection import Behaviour, ReceiverConnection

OK = b"HTTP/1.1 200 OK\r\n"
EMPTY_OK = OK + b"Content-Length: 0\r\n\r\n"


def says(*pieces: bytes) -> Behaviour:
    """Send these and close."""

    def behave(connection: ReceiverConnection) -> None:
        for piece in pieces:
            connection.send(piece)

    return behave


def says_and_waits(data: bytes) -> Behaviour:
    """Send this and keep the connection open."""

    def behave(connection: ReceiverConnection) -> None:
        connection.send(data)
        connection.wait_for_end()

    return behave


def trickles(data: bytes, *, after: bytes = b"") -> Behaviour:
    """Send ``after`` at once, then ``data`` byte by byte, over and over."""

    def behave(connection: ReceiverConnection) -> None:
        connection.send(after)
        connection.trickle(data)

    return behave


def floods(data: bytes, *, after: bytes = b"") -> Behaviour:
    """Send ``after``, then ``data`` as fast as it is taken, without end."""

    def behave(connection: ReceiverConnection) -> None:
        connection.send(after)
        while True:
            connection.send(data)

    return behave


def never_answers(connection: ReceiverConnection) -> None:
    """Read everything and say nothing."""
    connection.wait_for_end()


def never_reads(connection: ReceiverConnection) -> None:
    """Leave even the request unread."""
    connection.pause(60)


def resets(connection: ReceiverConnection) -> None:
    """Answer the request with an RST."""
    connection.reset()


def resets_after_head(connection: ReceiverConnection) -> None:
    """Break off with an RST in the middle of a body."""
    connection.send(OK + b"Content-Length: 100\r\n\r\npartial")
    connection.pause(0.3)  # An RST may overtake what was not read yet.
    connection.reset()


def closes(_line: ReceiverConnection) -> None:
    """Close without a word."""


def says_and_ends_properly(data: bytes) -> Behaviour:
    """Send this, then close TLS with its own word for that, which most servers leave out."""

    def behave(connection: ReceiverConnection) -> None:
        connection.send(data)
        connection.end_tls()

    return behave


def breaks_tls(after: bytes) -> Behaviour:
    """Send this, then what is no TLS record, and wait."""

    def behave(connection: ReceiverConnection) -> None:
        connection.send(after)
        connection.send_beneath(b"\x99 no record of TLS " * 10)
        connection.wait_for_end()

    return behave


def says_more_later(data: bytes, *, later: bytes) -> Behaviour:
    """Answer, and a moment later answer again, though nothing was asked."""

    def behave(connection: ReceiverConnection) -> None:
        connection.send(data)
        connection.pause(0.1)
        connection.send(later)
        connection.wait_for_end()

    return behave


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """Behave as each of these in turn, over and over."""
    turns = itertools.cycle(behaviours)

    def behave(connection: ReceiverConnection) -> None:
        next(turns)(connection)

    return behave


def once_greeted(behaviour: Behaviour) -> Behaviour:
    """Shake hands, then behave so without reading any request."""

    def behave(connection: ReceiverConnection) -> None:
        connection.secure(server_context(authority(), ("localhost", "127.0.0.1")))
        behaviour(connection)

    return behave


def trickles_a_record(connection: ReceiverConnection) -> None:
    """Shake hands properly, then send an answer whose one TLS record comes byte by byte."""
    came, goes = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = server_context(authority(), ("localhost",)).wrap_bio(came, goes, server_side=True)
    while not _shakes_hands(tls):
        connection.send(goes.read())
        came.write(connection.sock.recv(65_536))
    connection.send(goes.read())
    tls.write(OK + b"X: " + b"x" * 4096)
    connection.trickle(goes.read())


def _shakes_hands(tls: ssl.SSLObject) -> bool:
    """Go on with a handshake, and tell whether it is over."""
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True
