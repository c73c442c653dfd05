"""What is told of a server that refuses: why, once; then a count each minute; and that it is over.

One for each server and process. Whoever meets a refusal or an answer says so here; while there is no outage that is one
look at an attribute, since answers are many.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

#: How often an outage is counted.
COUNTED_S: Final = 60.0
#: So long nothing may have been refused before an answer ends an outage: of a server whose disk is full, or that has
#: too many connections, some answers come in between. Sweep and relay ask more often.
QUIET_S: Final = 6.0
_LONGEST: Final = 500


class Outage:
    """The outage of one server, as this process sees it."""

    def __init__(
        self, server: str, *, safe: str, quiet_s: float = QUIET_S, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """``server`` is its name in a sentence, ``safe`` what becomes of the work meanwhile."""
        self._server = server
        self._safe = safe
        self._quiet_s = quiet_s
        self._monotonic = monotonic
        self._lock = threading.Lock()
        #: When it began, by the monotonic clock; None while there is none. Ask it before :meth:`answered`.
        self.since: float | None = None
        #: Whether this process ends the server itself: what the server refuses then is no outage.
        self.is_ours = False
        self._last = self._logged_at = 0.0
        self._count = self._counted = 0

    def refused(self, reason: str) -> None:
        """Note a refusal, of which the reason's first line is told."""
        if self.is_ours:
            return
        now, reason = self._monotonic(), reason.strip().partition("\n")[0][:_LONGEST]
        with self._lock:
            begins = self.since is None
            if begins:
                self.since, self._logged_at, self._count, self._counted = now, now, 0, 0
            self._last = now
            self._count += 1
            is_due = now - self._logged_at >= COUNTED_S
            refusals, lasted = self._count - self._counted, now - (self.since or now)
            if is_due:
                self._logged_at, self._counted = now, self._count
        if begins:
            log.warning("%s refuses: %s; %s", self._server, reason, self._safe)
        elif is_due:
            text = "%s has refused %d times in the last minute, for %.0f s now: %s"
            log.warning(text, self._server, refusals, lasted, reason)

    def answered(self) -> None:
        """Note that the server did what was asked; an outage with no refusal for a while is over."""
        now = self._monotonic()
        with self._lock:
            if self.since is None or now - self._last < self._quiet_s:
                return
            lasted, refusals = self._last - self.since, self._count
            self.since = None
        log.warning("%s answers again, after %d refusals in %.0f s", self._server, refusals, lasted)

    def lasts_s(self) -> float:
        """Return for how many seconds it has refused by now; 0 while it does not."""
        since = self.since
        return 0.0 if since is None else self._monotonic() - since


DATABASE: Final = Outage("the database", safe="what was accepted is safe, and goes on when it answers")
COLLECTOR: Final = Outage("the collector of traces", safe="deliveries go on, and spans are dropped meanwhile")
REDIS: Final = Outage("Redis", safe="what was committed is safe, and relay and sweep find it")
MAIL: Final = Outage("the mail server", safe="mails wait, and deliveries go on", quiet_s=0.0)
