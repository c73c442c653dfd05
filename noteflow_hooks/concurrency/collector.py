"""A batch collector: items that nobody waits for are gathered by a thread and taken care of in groups."""

from __future__ import annotations

import logging
import threading
import time
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

Item = TypeVar("Item")


class BatchCollector(Generic[Item]):
    """One for a process. The thread begins with the first item; where it was killed, another begins with the next."""

    def __init__(self, take: Callable[[list[Item]], None], *, name: str, gather_s: float) -> None:
        """``take`` is called with each group, in the thread; what it raises is logged and costs that group.

        ``name`` says what the items are. What comes in within ``gather_s`` of a group's first one goes with it.
        """
        self._take = take
        self._name = name
        self._gather_s = gather_s
        self._waiting: SimpleQueue[Item | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def put(self, item: Item) -> None:
        """Hand over an item; returns at once."""
        self._waiting.put(item)
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Take care of what has come, and end the thread. To be called once no more comes."""
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join()

    def _run(self) -> None:
        goes_on = True
        while goes_on:
            group = [self._waiting.get()]
            time.sleep(self._gather_s)
            try:
                while True:
                    group.append(self._waiting.get_nowait())
            except Empty:
                pass
            goes_on = None not in group
            self._taken([each for each in group if each is not None])

    def _taken(self, group: list[Item]) -> None:
        try:
            if group:
                self._take(group)
        except Exception:
            # The boundary of a group: whoever gave it lost interest, and the next one must not be lost with it.
            log.exception("%d %s could not be taken care of", len(group), self._name)
