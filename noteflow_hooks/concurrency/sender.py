"""A background sender: messages that may be lost go out in a thread of their own, so that nobody waits for the network.

A message that is refused is lost, and so are those that wait behind it: each would fail as slowly as the first.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from noteflow_hooks.concurrency.outage import Outage


class BackgroundSender:
    """One for a process. Its thread begins with the first message; if it was killed, another begins with the next."""

    def __init__(
        self, *, most: int, pause_s: float, outage: Outage, note: Callable[[int], None] = lambda _: None
    ) -> None:
        """At most ``most`` messages wait, the newest ones. After a failure nothing is sent for ``pause_s``.

        ``outage`` is told of it, and of what is sent again; ``note`` is told how many messages were lost.
        """
        self._pause_s = pause_s
        self._outage = outage
        self._note = note
        self._waiting: deque[Callable[[], object]] = deque(maxlen=most)
        self._changed = threading.Condition()
        self._closing = False
        self._pausing = False
        self._thread: threading.Thread | None = None

    def put(self, send: Callable[[], object]) -> None:
        """Have ``send`` called soon, after all that were put before; returns at once and never raises."""
        with self._changed:
            if self._closing or self._pausing:
                return
            self._waiting.append(send)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="background sender", daemon=True)
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
            except Exception as error:  # noqa: BLE001 - whatever the network's client raises, who sends is not hurt by it
                self._pause(error)
            else:
                if self._outage.since is not None:
                    self._outage.answered()

    def _next(self) -> Callable[[], object] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            return self._waiting.popleft() if self._waiting else None

    def _pause(self, error: Exception) -> None:
        self._outage.refused(f"{type(error).__name__}: {error}")
        with self._changed:
            self._note(1 + len(self._waiting))
            self._waiting.clear()
            self._pausing = True
            try:
                self._changed.wait_for(lambda: self._closing, timeout=self._pause_s)
            finally:
                # Also where the thread is killed: nothing would ever be sent again.
                self._pausing = False
