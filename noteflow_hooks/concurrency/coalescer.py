"""Coalescing: one caller leads at a time, one waits to be the next, and who comes meanwhile leaves its items and goes.

It is group commit without a timer: the items of all who came while one led are the next one's batch. A caller leads one
batch, so that it can go on with what came of that while the next one leads.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Generic, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

Item = TypeVar("Item")


class Coalescer(Generic[Item]):
    """Items that wait for whoever leads. One for a process."""

    def __init__(self, *, most: int) -> None:
        """``most`` is how many items one batch has at the most."""
        self._most = most
        self._lock = threading.Lock()
        self._waiting: list[Item] = []
        #: Who has it leads.
        self._leading = threading.Lock()
        self._leader: Leadership[Item] | None = None
        #: Whether somebody waits to lead, who takes what waits by then.
        self._has_next = False

    def lead(self, items: Iterable[Item]) -> Leadership[Item]:
        """Bring items; use what is returned in a ``with`` block and go through its batches."""
        return Leadership(self, items)

    def join(self, leadership: Leadership[Item], items: Iterable[Item]) -> list[Item] | None:
        """Add the items; return a batch to whoever leads from now on, and None where another one takes them.

        The first one to come while another leads waits until that one has done.
        """
        with self._lock:
            self._waiting.extend(items)
            if self._has_next:
                return None
            self._has_next = True
            is_taken = self._leader is not None
        try:
            self._leading.acquire()
            self._leader = leadership
        finally:
            # Without the lock, also where the caller was killed as it waited: what it brought is the leader's then.
            self._has_next = False
        with self._lock:
            if self._waiting or not is_taken:
                return self._take()
        # The one before went on, and took what was brought along.
        self.resign(leadership)
        return None

    def next(self, leadership: Leadership[Item], *, wants_more: bool) -> list[Item] | None:
        """Return the leader's next batch; None once there is no more, or somebody else waits to lead, and does then."""
        with self._lock:
            if wants_more or (self._waiting and not self._has_next):
                return self._take()
            # Under the same lock, or items that come in between would wait for nobody.
            self.resign(leadership)
            return None

    def resign(self, leadership: Leadership[Item]) -> None:
        """End the leadership, if it goes on; waits for nothing, since a leader could be killed while it does."""
        if self._leader is leadership:
            self._leader = None
            self._leading.release()

    def _take(self) -> list[Item]:
        batch = self._waiting[: self._most]
        del self._waiting[: self._most]
        return batch


class Leadership(Generic[Item]):
    """One caller's part; leading is bound to the ``with`` block, and ends with it whatever happens in there.

    Its batches are the caller's items and what others brought by then: one batch, were it empty, more of them where it
    asks for more or too much waits for one, and none where another caller gets these items. Leading ends once there is
    no further batch, inside the block. If the block fails, what waits is left to the next leader.
    """

    def __init__(self, coalescer: Coalescer[Item], items: Iterable[Item]) -> None:
        """Made by :meth:`Coalescer.lead`."""
        self._coalescer = coalescer
        self._items = items
        self._batch: list[Item] | None = None
        self._leads = False
        self._wants_more = False

    def __enter__(self) -> Self:
        try:
            self._batch = self._coalescer.join(self, self._items)
            self._leads = self._batch is not None
        except BaseException:
            self._coalescer.resign(self)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._coalescer.resign(self)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> list[Item]:
        batch, self._batch = self._batch, None
        if batch is None and self._leads:
            wants_more, self._wants_more = self._wants_more, False
            batch = self._coalescer.next(self, wants_more=wants_more)
        if batch is None:
            self._leads = False
            raise StopIteration
        return batch

    def go_on(self) -> None:
        """Have one more batch come, were it empty."""
        self._wants_more = True
