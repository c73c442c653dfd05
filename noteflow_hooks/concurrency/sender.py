"""Hints go out in a thread of their own: whatever Redis does, no result waits for it, and no claim.

A hint that is refused is lost, and so are those that wait behind it: relay and sweep find what they would have told of.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

#: How many hints may wait; more mean that Redis hardly answers.
_LIMIT: Final = 1_000
#: After a failure, how long nothing is tried.
_PAUSE_S: Final = 1.0


class BackgroundSender:
    """One for a process. The thread begins with the first hint."""

    def __init__(self, *, pause_s: float = _PAUSE_S) -> None:
        """After a failure nothing is sent for ``pause_s``."""
        self._pause_s = pause_s
        self._waiting: deque[Callable[[], object]] = deque(maxlen=_LIMIT)
        self._changed = threading.Condition()
        self._closing = False
        self._away = False
        self._thread: threading.Thread | None = None

    def put(self, send: Callable[[], object]) -> None:
        """Have ``send`` called soon, after all that were put before; returns at once and never raises."""
        with self._changed:
            if self._closing or self._away:
                return
            self._waiting.append(send)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="hints", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self, *, timeout_s: float = 2.0) -> None:
        """Send what waits, if that takes no longer than this, and end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while (send := self._next()) is not None:
            try:
                send()
            except Exception as error:  # noqa: BLE001 - whatever the broker's client raises, no delivery is hurt by it
                self._rest(error)

    def _next(self) -> Callable[[], object] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            return self._waiting.popleft() if self._waiting else None

    def _rest(self, error: Exception) -> None:
        log.warning(
            "Redis takes no hints (%s); relay and sweep see to what they would have told of", type(error).__name__
        )
        with self._changed:
            self._waiting.clear()
            self._away = True
            self._changed.wait_for(lambda: self._closing, timeout=self._pause_s)
            self._away = False
