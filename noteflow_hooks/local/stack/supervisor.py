"""Keeps processes running: one that dies is started again; one that keeps dying ends the system, with its log's end."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final, Protocol

from noteflow_hooks.local.servers import EmbeddedServerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

log = logging.getLogger(__name__)

#: If a process ran for so long before it died, its deaths are counted anew.
_WELL_S: Final = 10.0
#: The waits before the first, second, ... restart; after the last one the process is given up.
_WAITS_S: Final = (0.0, 0.5, 1.0, 2.0, 4.0)


class Part(Protocol):
    """One process of the system."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        ...

    @property
    def fate(self) -> str:
        """How it ended, in words."""
        ...

    def start(self) -> None:
        """Start it, or start it again."""
        ...

    def error(self, problem: str) -> EmbeddedServerError:
        """Return an error with the last lines of its log."""
        ...


class Watch:
    """Watches one part, and starts it again when it dies."""

    def __init__(self, part: Part, *, clock: Callable[[], float] = time.monotonic) -> None:
        """The part has just been started."""
        self._part = part
        self._clock = clock
        self._started_at = clock()
        self._deaths = 0
        self._due_at: float | None = None

    def look(self) -> None:
        """Start the part again if it has died and its wait is over; raise if it died too often."""
        if self._part.pid is not None:
            return
        if self._due_at is None:
            self._bury()
        elif self._clock() >= self._due_at:
            self._start()

    def _bury(self) -> None:
        now = self._clock()
        self._deaths = 1 if now - self._started_at >= _WELL_S else self._deaths + 1
        if self._deaths > len(_WAITS_S):
            raise self._part.error(f"{self._part.fate} {self._deaths} times in a row")
        wait_s = _WAITS_S[self._deaths - 1]
        self._due_at = now + wait_s
        log.warning("%s %s; it is started again in %g s", self._part.name, self._part.fate, wait_s)

    def _start(self) -> None:
        self._due_at = None
        self._started_at = self._clock()
        try:
            self._part.start()
        except EmbeddedServerError as error:
            # This counts as a death: the next look tries again or gives up.
            log.warning("%s could not be started: %s", self._part.name, error)


def keep_running(parts: Iterable[Part], *, ended: Callable[[], bool], look_every_s: float = 0.1) -> None:
    """Restart whatever dies until ``ended``; raise, with the end of its log, for a part that keeps dying."""
    watches = [Watch(part) for part in parts]
    while not ended():
        for watch in watches:
            watch.look()
        time.sleep(look_every_s)
