"""Results that come in when nobody waits for them any more: gathered by one thread, and taken care of in groups."""

from __future__ import annotations

import logging
import threading
import time
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

T = TypeVar("T")

#: What comes in within this of the first one goes with it.
_GATHER_S: Final = 0.02


class BatchCollector(Generic[T]):
    """One for a process. The thread begins with the first result."""

    def __init__(self, take: Callable[[list[T]], None]) -> None:
        """``take`` is called with each group, in the thread; what it raises is logged and costs that group."""
        self._take = take
        self._come: SimpleQueue[T | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def put(self, result: T) -> None:
        """Hand over a result; returns at once."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="late results", daemon=True)
                self._thread.start()
        self._come.put(result)

    def close(self) -> None:
        """Take care of what has come, and end the thread. To be called once no more comes."""
        if self._thread is not None:
            self._come.put(None)
            self._thread.join()

    def _run(self) -> None:
        goes_on = True
        while goes_on:
            group = [self._come.get()]
            time.sleep(_GATHER_S)
            try:
                while True:
                    group.append(self._come.get_nowait())
            except Empty:
                pass
            goes_on = None not in group
            self._taken([each for each in group if each is not None])

    def _taken(self, group: list[T]) -> None:
        try:
            if group:
                self._take(group)
        except Exception:
            # The boundary of a group: its leases run out, and the sweep takes the deliveries back.
            log.exception("%d late results could not be recorded", len(group))
