"""What tells whether relay, sweep and workers do their work, in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from noteflow_hooks.domain.ports.maintenance import RELAY, SWEEP, Signs
from noteflow_hooks.domain.ports.repositories import SystemLog

if TYPE_CHECKING:
    from noteflow_hooks.persistence.memory.store import Session


class InMemorySystemLog(SystemLog):
    """The signs in memory."""

    def __init__(self, session: Session) -> None:
        """Work in this session."""
        self._session = session

    @override
    def signs(self) -> Signs:
        tables, now = self._session.tables, self._session.now()
        events = (each.created_at for each in tables.events.values() if each.dispatched_at is None)
        due = (each.next_attempt_at for each in tables.deliveries.values() if each.is_due(now))
        return Signs(
            now,
            tables.task_runs.get(RELAY),
            tables.task_runs.get(SWEEP),
            min((each for each in events if each is not None), default=None),
            min((each for each in due if each is not None), default=None),
        )
