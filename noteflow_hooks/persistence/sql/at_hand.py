"""Connections that are kept at hand between two units, and what each has for statements past SQLAlchemy."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy.pool import QueuePool

if TYPE_CHECKING:
    from sqlalchemy.pool import PoolProxiedConnection

    from noteflow_hooks.persistence.sql.wire import Wire

#: Where a pooled connection has its wire.
WIRE: Final = "noteflow_wire"


def wire_of(lent: PoolProxiedConnection) -> Wire:
    """Return the connection's way for statements past SQLAlchemy."""
    wire: Wire = lent.info[WIRE]
    return wire


class AtHand(QueuePool):
    """A pool that keeps what was lent by :func:`lend` at hand, past what SQLAlchemy does at each lending: 60 µs.

    It is for who lends in this way alone: what is at hand counts as lent.
    """

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - QueuePool's own
        """Have nothing at hand yet."""
        super().__init__(*args, **options)
        self._at_hand: deque[PoolProxiedConnection] = deque()

    def take(self) -> PoolProxiedConnection | None:
        """Return the one that was in use last, None where none is at hand."""
        try:
            return self._at_hand.pop()
        except IndexError:
            return None

    def keep(self, lent: PoolProxiedConnection) -> bool:
        """Keep it at hand; return False where something is still under way on it."""
        if not lent.is_valid or not wire_of(lent).is_idle:
            return False
        self._at_hand.append(lent)
        return True

    def dispose(self) -> None:
        """Close all that is not in use."""
        self.let_go()
        super().dispose()

    def let_go(self) -> None:
        """Have none at hand: each is asked for anew, and looked at, before it is lent again."""
        while (lent := self.take()) is not None:
            lent.close()
