"""Where an event stands among those of its meeting, as a request tells it."""

from __future__ import annotations

from typing import NamedTuple


class Rank(NamedTuple):
    """Where an event stands among those of its meeting, as a request tells it."""

    #: From 1, without gaps, in the order in which the meeting's events were recorded.
    sequence: int
    #: How many earlier ones of the meeting were given up since the last one that the endpoint got.
    gap: int = 0
    #: Whether it is sent past its rank, since a later one was sent before.
    is_late: bool = False
