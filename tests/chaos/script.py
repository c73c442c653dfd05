"""What the receiver does with each POST: a function of the run's seed and of which POST it is, and of nothing else."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Final

from noteflow_hooks.domain.attempts import RESPONSE_KEPT_BYTES


class Did(StrEnum):
    """What the receiver did, always after it had the whole request."""

    ANSWERED = "answered 200"
    FAILED = "answered 500"
    RESET = "reset the connection"
    HUNG = "never answered"


#: After these the sender can't know whether the request has arrived.
UNKNOWN: Final = frozenset({Did.RESET, Did.HUNG})
#: Which part of all POSTs gets which answer but a 200, in percent.
_SHARES: Final = {Did.FAILED: 5, Did.RESET: 2, Did.HUNG: 1}
#: A failure's body is longer than what is kept of it.
_FAILURE_BYTES: Final = RESPONSE_KEPT_BYTES + 1_000


def chosen(seed: int, event_id: str, path: str, nth: int) -> Did:
    """Choose what is done with the ``nth`` POST, from 1, of an event to a path."""
    digest = hashlib.sha256(f"{seed} {event_id} {path} {nth}".encode()).digest()
    percent = int.from_bytes(digest[:8]) / 2**64 * 100
    for did, share in _SHARES.items():
        if percent < share:
            return did
        percent -= share
    return Did.ANSWERED


def body(did: Did, nth: int) -> bytes:
    """Return the body of an answer, by which an attempt on record tells which POST it was."""
    text = f"{did}, POST {nth}; ".encode()
    return text if did is Did.ANSWERED else text.ljust(_FAILURE_BYTES, b"n")


def kept(did: Did, nth: int) -> str:
    """Return what of that body is to be on record."""
    return body(did, nth)[:RESPONSE_KEPT_BYTES].decode()
