"""The keeper of the roll-ups, in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from noteflow_hooks.domain.ports.stats import StatsKeeper
from noteflow_hooks.domain.stats import Count
from noteflow_hooks.persistence.memory import rollups

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from noteflow_hooks.persistence.memory.store import MemoryStore


class InMemoryStatsKeeper(StatsKeeper):
    """The keeper of the roll-ups in memory."""

    def __init__(self, store: MemoryStore) -> None:
        """Work on this store."""
        self._store = store

    @override
    def roll_up(self, *, within: timedelta | None = None) -> datetime:
        with self._store.transaction() as session:
            return rollups.roll_up(session)

    @override
    def totals(self) -> Sequence[Count]:
        with self._store.transaction() as session:
            totals = [(key, rolled) for key, rolled in session.tables.rollups.items() if key[0] is None]
        return sorted(Count(*key[5:], *rolled) for key, rolled in totals)
