"""Waiting for a result: polled, with a deadline, never slept for."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

#: Only a safety net: what must come true may take this long on a machine that is slow or pauses.
PATIENCE_S: Final = 60.0


def until(check: Callable[[], object], *, what: str | Callable[[], str], timeout_s: float = PATIENCE_S) -> None:
    """Return once ``check`` is true; fail when time is up, and say what was waited for."""
    pause, ends_at = threading.Event(), time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < ends_at, f"waited {timeout_s:g} s in vain: {what() if callable(what) else what}"
        pause.wait(0.02)
