"""Which hints at turns are worth sending: one takes all turns that are due in its lane, whosever they are."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from noteflow_hooks.domain.ports.delivery_store import SchedulingSlot

#: A turn may come so much later than it could, in parts of its wait and in seconds: others' hints then serve it too.
_LATER: Final = 0.1
_LATER_S: Final = 0.02


class WakeUpDebouncer:
    """Remembers when this process has hints on their way."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        #: By lane, whether slow: when hints arrive.
        self._arrivals: dict[bool, list[float]] = {False: [], True: []}

    def is_wanted(self, turn: SchedulingSlot) -> bool:
        """Tell whether no hint on its way serves this turn; if so, one is taken to be on its way now."""
        now, wait_s = self._monotonic(), turn.wait.total_seconds()
        earliest = now + wait_s
        latest = earliest + wait_s * _LATER + _LATER_S
        with self._lock:
            arrivals = [each for each in self._arrivals[turn.slow] if each > now]
            wanted = not any(earliest <= each <= latest for each in arrivals)
            if wanted:
                arrivals.append(earliest)
            self._arrivals[turn.slow] = arrivals
        return wanted
