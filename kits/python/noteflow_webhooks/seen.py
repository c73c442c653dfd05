"""Remembers which events have come, so that each is handled once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Protocol


class Remembers(Protocol):
    """Where ids are remembered. Several processes need one of your own: a table, or Redis."""

    def begin(self, message: str) -> str:
        """Return ``new``, and remember it as pending, in one step; else ``pending`` or ``done``."""

    def done(self, message: str) -> None:
        """Remember that it is stored, or was handed on."""

    def forget(self, message: str) -> None:
        """Let it come again."""


class Seen:
    """Remembers the last ids, in this process."""

    def __init__(self, most: int = 100_000) -> None:
        self._most, self._lock = most, threading.Lock()
        self._states: OrderedDict[str, str] = OrderedDict()

    def begin(self, message: str) -> str:
        """See Remembers."""
        with self._lock:
            known = self._states.get(message)
            if known is None:
                self._states[message] = "pending"
                while len(self._states) > self._most:
                    self._states.popitem(last=False)
            return known or "new"

    def done(self, message: str) -> None:
        """See Remembers."""
        with self._lock:
            self._states[message] = "done"

    def forget(self, message: str) -> None:
        """See Remembers."""
        with self._lock:
            self._states.pop(message, None)
