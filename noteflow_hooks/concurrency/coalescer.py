"""Work that one thread at a time does for all: who comes meanwhile leaves it to that one, and goes.

Sixteen tasks that dispatch side by side take sixteen connections to the database, and get in each other's way there.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from uuid import UUID


class Coalescer:
    """Ids that wait for whoever is at work."""

    def __init__(self, *, most: int) -> None:
        """``most`` is how many ids one batch has at the most."""
        self._most = most
        self._lock = threading.Lock()
        self._waiting: list[UUID] = []
        self._is_busy = False
        self._goes_on = False

    def go_on(self) -> None:
        """Have one more batch come, were it empty; for who is at work."""
        self._goes_on = True

    def batches(self, ids: Sequence[UUID]) -> Generator[list[UUID]]:
        """Yield the ids, and what others bring meanwhile, in batches; at least one, were it empty.

        Nothing is yielded while another thread is at it: that one gets these ids. If it fails, they wait for the next.
        """
        with self._lock:
            self._waiting.extend(ids)
            if self._is_busy:
                return
            self._is_busy = True
            batch = self._take()
        try:
            while True:
                yield batch
                with self._lock:
                    # Together, or ids that come in between would wait for nobody.
                    if not (self._waiting or self._goes_on):
                        self._is_busy = False
                        return
                    batch = self._take()
        except BaseException:
            self._is_busy = False
            raise

    def _take(self) -> list[UUID]:
        self._goes_on = False
        batch = self._waiting[: self._most]
        del self._waiting[: self._most]
        return batch
