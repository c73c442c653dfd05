"""What the answer to a batch says of its members: which of them have failed although the rest is settled.

The answer is a stranger's. Whatever it holds, reading it raises nothing, and takes no longer than its bytes do.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID


class Named(NamedTuple):
    """What an answer names under ``failed``."""

    failed: frozenset[UUID] = frozenset()
    #: How many entries are no event of the batch.
    unknown: int = 0


NOTHING: Final = Named()


def failed_in(body: bytes, events: Mapping[str, UUID]) -> Named:
    """Return which of the events the answer names as failed; they are given by their ids as they were sent.

    Nothing where it is empty, no JSON object, or has no list of that name. An entry that is no event of the batch is
    counted, and has no other effect.
    """
    # Most answers have no such word, and need no parsing.
    if b"failed" not in body and b"\\u" not in body:
        return NOTHING
    try:
        answer = json.loads(body, parse_int=_unread, parse_float=_unread, parse_constant=_unread)
    except (ValueError, RecursionError):
        return NOTHING
    entries = answer.get("failed") if isinstance(answer, dict) else None
    if not isinstance(entries, list):
        return NOTHING
    known = [events.get(each.lower()) if isinstance(each, str) else None for each in entries]
    failed = frozenset(each for each in known if each is not None)
    return Named(failed, sum(each is None for each in known))


def _unread(_: str) -> None:
    """Leave a number as it is: to read a long one costs more than its bytes."""
