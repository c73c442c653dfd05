"""What goes wrong before a request was read, so that each needs a port of its own: E17, and E21's handshakes."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import trustme

from noteflow_hooks.domain.attempts import ErrorKind
from tests.support.certificates import authority, client_context, expired_context, self_signed_context, server_context
from tests.support.hostile_cases.case import EMPTY_OK
from tests.support.hostile_receiver import (
    closes,
    floods,
    never_answers,
    never_reads,
    once_greeted,
    resets,
    says_and_waits,
    trickles,
    trickles_a_record,
)
from tests.support.receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.receiver_connection import Behaviour

_NAME: Final = "localhost"
_LAST_OK: Final = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
#: A record that announces 16 KB of a handshake.
_RECORD: Final = b"\x16\x03\x03\x40\x00"


@dataclass(frozen=True)
class FaultyListener:
    """A listener with a fault, to be asked over https at ``localhost``, and what must come of it."""

    receiver: Callable[[], Receiver]
    #: One of these; None is success.
    kinds: tuple[ErrorKind | None, ...]
    #: A part of the message, where TLS failed.
    words: str = ""
    is_drawn_out: bool = False


def _greeting(
    behaviour: Behaviour, *kinds: ErrorKind | None, words: str = "", is_drawn_out: bool = False
) -> FaultyListener:
    return FaultyListener(partial(Receiver, greeting=behaviour), kinds, words, is_drawn_out)


def _silent(behaviour: Behaviour, *kinds: ErrorKind) -> FaultyListener:
    return _greeting(behaviour, ErrorKind.TIMEOUT, *kinds, is_drawn_out=True)


def _certified(context: Callable[[], ssl.SSLContext], words: str) -> FaultyListener:
    return FaultyListener(lambda: Receiver(context=context()), (ErrorKind.TLS,), words)


def _only(version: ssl.TLSVersion) -> FaultyListener:
    return FaultyListener(partial(Receiver, tls=True, tls_version=version), (ErrorKind.TLS,), "version")


def _ticketing() -> ssl.SSLContext:
    context = server_context(authority(), (_NAME,))
    context.num_tickets = 5_000
    return context


FAULTY_LISTENERS: Final = {
    # The request fits into the sockets' buffers: sent, and never answered.
    "E17 never reads": _silent(once_greeted(never_reads)),
    "E17 answers without reading": _greeting(once_greeted(says_and_waits(_LAST_OK)), None),
    "E17 never shakes hands": _silent(never_answers),
    "E17 never reads a handshake": _silent(never_reads),
    "E21 trickles a handshake": _silent(trickles(b"\0", after=_RECORD + b"\x02\x00\x3f\xfc")),
    "E21 trickles a record": _silent(trickles_a_record),
    "E21 trickles the start of a handshake": _silent(trickles(_RECORD), ErrorKind.TLS),
    "E21 trickles nonsense": _greeting(trickles(b"\x00"), ErrorKind.TLS, ErrorKind.TIMEOUT, is_drawn_out=True),
    # Each of these carries nothing: one call of OpenSSL's would go on with them for as long as they come.
    "E21 asks for handshakes without end": _greeting(
        floods(b"\x16\x03\x03\x40\x00" + bytes(16_384)), ErrorKind.TLS, words="too much that carries nothing"
    ),
    "E21 gives tickets without end": FaultyListener(
        lambda: Receiver(context=_ticketing()), (ErrorKind.TLS,), "too much that carries nothing"
    ),
    "E21 is self-signed": _certified(partial(self_signed_context, _NAME), "self"),
    "E21 is of an unknown authority": FaultyListener(
        lambda: Receiver(tls=True, ca=trustme.CA()), (ErrorKind.TLS,), "certificate"
    ),
    "E21 has expired": _certified(partial(expired_context, _NAME), "certificate has expired"),
    "E21 has another name": FaultyListener(
        partial(Receiver, tls=True, names=("other.example",)), (ErrorKind.TLS,), "Hostname mismatch"
    ),
    "E21 speaks TLS 1.0": _only(ssl.TLSVersion.TLSv1),
    "E21 speaks TLS 1.1": _only(ssl.TLSVersion.TLSv1_1),
    "E21 wants a client's certificate": _certified(partial(client_context, _NAME), "certificate required"),
    "E21 speaks plain HTTP": _greeting(says_and_waits(EMPTY_OK), ErrorKind.TLS, words="wrong version number"),
    "E21 closes": _greeting(closes, ErrorKind.TLS, ErrorKind.CONNECT, words="eof"),
    "E21 resets": _greeting(resets, ErrorKind.TLS, ErrorKind.CONNECT),
    "E21 closes once greeted": _greeting(once_greeted(closes), ErrorKind.CONNECT),
    "E21 resets once greeted": _greeting(once_greeted(resets), ErrorKind.CONNECT),
}
