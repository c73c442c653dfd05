"""Coalescing: one caller leads at a time, one waits to be the next, and who comes meanwhile leaves its items and goes.

It is group commit without a timer: the items of all who came while one led are the next one's batch. A caller leads one
batch, so that it can go on with what came of that while the next one leads.
"""

from __future__ import annotations

import threading
from collections import deque
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
        #: What each caller brought, the oldest first; empty where nothing waits for whoever leads next.
        self.waiting: deque[list[Item]] = deque()
        #: Who has it leads.
        self._leading = threading.Lock()
        self._leader: Leadership[Item] | None = None
        #: Whether somebody waits to lead, who takes what waits by then.
        self._has_next = False

    @property
    def is_led(self) -> bool:
        """Whether somebody leads, or is the next one."""
        return self._has_next or self._leader is not None

    @property
    def needs_leader(self) -> bool:
        """Whether something waits, and nobody yet who takes it."""
        return bool(self.waiting) and not self._has_next

    def lead(self, items: Iterable[Item], *, most: int | None = None) -> Leadership[Item]:
        """Bring items; use what is returned in a ``with`` block. Its first batch has no more than ``most``."""
        return Leadership(self, items, most=self._most if most is None else min(most, self._most))

    def join(self, leadership: Leadership[Item], items: Iterable[Item], *, most: int) -> list[Item] | None:
        """Add the items; return a batch to whoever leads from now on, and None where another one takes them.

        The first one to come while another leads waits until that one has done.
        """
        brought = list(items)
        with self._lock:
            if brought:
                self.waiting.append(brought)
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
            if self.waiting or not is_taken:
                return self._take(most)
        # The one before went on, and took what was brought along.
        self.resign(leadership)
        return None

    def next(self, leadership: Leadership[Item], *, wants_more: bool) -> list[Item] | None:
        """Return the leader's next batch; None once there is no more, or somebody else waits to lead, and does then."""
        with self._lock:
            if wants_more or (self.waiting and not self._has_next):
                return self._take(self._most)
            # Under the same lock, or items that come in between would wait for nobody.
            self.resign(leadership)
            return None

    def resign(self, leadership: Leadership[Item]) -> None:
        """End the leadership, if it goes on; waits for nothing, since a leader could be killed while it does."""
        if self._leader is leadership:
            self._leader = None
            self._leading.release()

    def _take(self, most: int) -> list[Item]:
        """Take what waits; where that is too much, half of it of who came last: a flood holds up no fresh items."""
        late = self._cut(most // 2, end=-1) if sum(map(len, self.waiting)) > most else []
        return [*late, *self._cut(most - len(late), end=0)]

    def _cut(self, size: int, *, end: int) -> list[Item]:
        taken: list[Item] = []
        while self.waiting and len(taken) < size:
            brought, room = self.waiting[end], size - len(taken)
            taken += brought[:room]
            del brought[:room]
            if not brought:
                del self.waiting[end]
        return taken


class Leadership(Generic[Item]):
    """One caller's part; leading is bound to the ``with`` block, and ends with it whatever happens in there.

    Its batches are the caller's items and what others brought by then: one batch, were it empty, more of them where it
    asks for more or too much waits for one, and none where another caller gets these items. Leading ends once there is
    no further batch, inside the block. If the block fails or is left early, what waits is left to the next leader.
    """

    def __init__(self, coalescer: Coalescer[Item], items: Iterable[Item], *, most: int) -> None:
        """Made by :meth:`Coalescer.lead`."""
        self._coalescer = coalescer
        self._items = items
        self._most = most
        self._leads = False
        #: The first batch; None where the caller does not lead.
        self.first: list[Item] | None = None

    def __enter__(self) -> Self:
        try:
            self.first = self._coalescer.join(self, self._items, most=self._most)
            self._leads = self.first is not None
        except BaseException:
            self._coalescer.resign(self)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leads = False
        self._coalescer.resign(self)

    def further(self, *, wants_more: bool = False) -> list[Item] | None:
        """Return the next batch, an empty one too where the caller wants more; None where it leads no more."""
        batch = self._coalescer.next(self, wants_more=wants_more) if self._leads else None
        self._leads = batch is not None
        return batch
