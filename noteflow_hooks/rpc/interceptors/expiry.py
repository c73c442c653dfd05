"""How long a unary call may take: one timer for all of them, since each may take as long as the others."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

#: So much longer than ``longest_call`` a call may take before it is cancelled. By then it should have been answered, so
#: its message never came, or its answer is not taken.
LATER_S: Final = 5.0


class Expiring(Protocol):
    """What is ended."""

    @property
    def is_answering(self) -> bool:
        """Whether its message has come, so that somebody can answer it."""
        ...

    def end_late(self) -> None:
        """End it with an answer."""
        ...

    def end(self) -> None:
        """End it."""
        ...


class Expiry:
    """The open calls in the order in which they began. Belongs to one event loop."""

    def __init__(self, longest_s: float) -> None:
        """A call whose message has come is answered as late after so long, and any is cancelled a little later."""
        self._longest_s = longest_s
        #: Since when each is open, by the loop's clock; first those that may still be answered as late.
        self._open: dict[Expiring, float] = {}
        self._late: dict[Expiring, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, call: Expiring) -> None:
        """Count the call's time from now on."""
        loop = asyncio.get_running_loop()
        now = self._open[call] = loop.time()
        if self._timer is None:
            self._timer = loop.call_at(now + self._longest_s, self._end_late)

    def discard(self, call: Expiring) -> None:
        """Forget the call, which is over."""
        if self._open.pop(call, None) is None:
            self._late.pop(call, None)

    def _end_late(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        for call in _before(self._open, loop.time() - self._longest_s):
            self._late[call] = self._open.pop(call)
            if call.is_answering:
                call.end_late()
        for call in _before(self._late, loop.time() - self._longest_s - LATER_S):
            del self._late[call]
            call.end()
        ends = [began + self._longest_s for began in _first(self._open)]
        ends += [began + self._longest_s + LATER_S for began in _first(self._late)]
        if ends:
            self._timer = loop.call_at(min(ends), self._end_late)


def _before(calls: dict[Expiring, float], moment: float) -> list[Expiring]:
    found = []
    for call, began in calls.items():
        if began > moment:
            break
        found.append(call)
    return found


def _first(calls: dict[Expiring, float]) -> list[float]:
    return [next(iter(calls.values()))] if calls else []
