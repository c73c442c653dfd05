"""The data, its one lock and its clock, and the transactions that are made over them."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from threading import RLock
from typing import TYPE_CHECKING

from noteflow_hooks.errors import UnitOfWorkNotStartedError
from noteflow_hooks.persistence.memory.tables import Tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class MemoryStore:
    """What the units of work and the delivery store of one system share."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """``now`` is the store's clock and returns aware moments."""
        self.now = now
        self.tables = Tables()
        # Reentrant, so that a thread that opens a second unit while it is in one does not wait for itself.
        self.lock = RLock()

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Begin a transaction that is committed at the block's end, or dropped if an error leaves it."""
        session = Session(self)
        try:
            yield session
            session.commit()
        finally:
            session.close()


class Session:
    """One transaction: a layer over the store's tables. It holds the store's lock until it is closed."""

    def __init__(self, store: MemoryStore) -> None:
        """Wait for the lock and begin."""
        store.lock.acquire()
        self.now = store.now
        #: What to call after the commit, once the lock is free.
        self.calls: list[Callable[[], None]] = []
        self._lock = store.lock
        self._tables: Tables | None = store.tables.layer()

    @property
    def tables(self) -> Tables:
        """The rows as this transaction sees them; a closed one raises UnitOfWorkNotStartedError."""
        if self._tables is None:
            raise UnitOfWorkNotStartedError
        return self._tables

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Write into a layer of its own; an error that leaves it drops that, and the calls taken inside."""
        outer, calls = self.tables, len(self.calls)
        inner = self._tables = outer.layer()
        try:
            yield
            inner.merge()
        except BaseException:
            del self.calls[calls:]
            raise
        finally:
            self._tables = outer

    def commit(self) -> None:
        """Show the changes to everyone."""
        self.tables.merge()

    def close(self) -> None:
        """Let go of the lock; what was not committed is gone."""
        if self._tables is not None:
            self._tables = None
            self._lock.release()
