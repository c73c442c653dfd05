"""Results that contend for the same rows are stored together: one thread of a process stores for all who wait.

A failure's transaction locks its endpoint's health over several round trips. Dozens of them side by side would stand in
line for that row, each with a task and a connection.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING

from noteflow_hooks.domain.ports.delivery_store import Settled

if TYPE_CHECKING:
    from collections.abc import Callable

    from noteflow_hooks.domain.deliveries import Settlement


class Together:
    """One for a process. What comes while a store is under way is the next one, as a whole."""

    def __init__(self, store: Callable[[list[Settlement], float], Settled]) -> None:
        """``store`` is given settlements, and until when they are ours by this process's clock; it may wait."""
        self._store = store
        self._lock = threading.Lock()
        #: Who has it stores.
        self._turn = threading.Lock()
        self._gathering = _Batch()

    def settle(self, settlements: list[Settlement], until: float) -> Settled:
        """Return once they are stored, or raise what storing them raised.

        The claims of all that was stored with them are told; turns and events, which are for one to hint at, to whoever
        was the first.
        """
        with self._lock:
            batch = self._gathering
            is_first = not batch.settlements
            batch.settlements += settlements
            batch.until = max(batch.until, until)
        if not is_first:
            return Settled(batch.settled.result().claims)
        with self._turn:
            self._store_batch(batch)
        return batch.settled.result()

    def _store_batch(self, batch: _Batch) -> None:
        with self._lock:
            self._gathering = _Batch()
        try:
            batch.settled.set_result(self._store(batch.settlements, batch.until))
        except BaseException as error:  # noqa: BLE001 - handed over to all who wait, and raised there
            batch.settled.set_exception(error)


class _Batch:
    def __init__(self) -> None:
        self.settlements: list[Settlement] = []
        self.until = 0.0
        self.settled: Future[Settled] = Future()
