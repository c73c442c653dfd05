"""Whose turn it is at the database's threads: workspaces take turns, and lists never take more than their share."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Hashable  # noqa: TC003 - the dataclass below is looked at while the program runs
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Lane:
    """Where a call stands in line."""

    #: Who calls; those of one key stand behind each other, and keys take turns.
    key: Hashable
    #: Whether it reads a list, which takes long and can wait.
    is_list: bool = False


#: What no caller waits for: the server's own jobs.
SERVER: Final = Lane("server")
#: Looking tokens up: whose they are is not known yet.
TOKENS: Final = Lane("tokens")
_lane: ContextVar[Lane] = ContextVar("lane", default=SERVER)


def current_lane() -> Lane:
    """Return where what runs now stands in line."""
    return _lane.get()


def enter_lane(lane: Lane) -> None:
    """Have what the running task does from now on, and the tasks that it begins, stand there."""
    _lane.set(lane)


class FairQueue(Generic[T]):
    """A queue for several threads. Each that is taken is followed by one :meth:`done` with the same lane."""

    def __init__(self, *, most_lists: int) -> None:
        """``most_lists`` is how many lists may be under way at once."""
        self._changed = threading.Condition()
        self._lists: _ByKey[T] = _ByKey()
        self._others: _ByKey[T] = _ByKey()
        self._most_lists = most_lists
        self._lists_under_way = 0
        #: Whether a list is next, where both wait: each kind has every other turn.
        self._list_is_next = False
        self._closed = False

    def put(self, item: T, lane: Lane) -> None:
        """Put it behind the others of its lane."""
        with self._changed:
            (self._lists if lane.is_list else self._others).put(lane, item)
            self._changed.notify()

    def get(self) -> tuple[T, Lane] | None:
        """Wait for the next one and return it with its lane; None once the queue is closed and empty."""
        with self._changed:
            while True:
                found = self._next()
                if found is not None or (self._closed and not self._lists):
                    return found
                self._changed.wait()

    def get_now(self) -> tuple[T, Lane] | None:
        """Return the next one with its lane; None where nothing waits that may begin."""
        with self._changed:
            return self._next()

    def done(self, lane: Lane) -> None:
        """Say that what :meth:`get` or :meth:`get_now` returned is over."""
        if lane.is_list:
            with self._changed:
                self._lists_under_way -= 1
                self._changed.notify()

    def close(self) -> None:
        """Have :meth:`get` return None once nothing waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _next(self) -> tuple[T, Lane] | None:
        lists = bool(self._lists) and self._lists_under_way < self._most_lists
        if lists and (self._list_is_next or not self._others):
            self._list_is_next = False
            self._lists_under_way += 1
            return self._lists.get()
        self._list_is_next = True
        return self._others.get() if self._others else None


class _ByKey(Generic[T]):
    """What waits, by key; the keys in the order of their turns."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, deque[tuple[T, Lane]]] = {}
        self._order: deque[Hashable] = deque()

    def __bool__(self) -> bool:
        return bool(self._order)

    def put(self, lane: Lane, item: T) -> None:
        if lane.key not in self._waiting:
            self._waiting[lane.key] = deque()
            self._order.append(lane.key)
        self._waiting[lane.key].append((item, lane))

    def get(self) -> tuple[T, Lane]:
        key = self._order.popleft()
        own = self._waiting[key]
        found = own.popleft()
        if own:
            self._order.append(key)
        else:
            del self._waiting[key]
        return found
