"""When the tasks that beat calls last ran, in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from noteflow_hooks.persistence.memory.store import MemoryStore


class InMemoryTaskRuns:
    """See :class:`noteflow_hooks.domain.ports.maintenance.TaskRuns`."""

    def __init__(self, store: MemoryStore) -> None:
        """Work on this store."""
        self._store = store

    def note(self, name: str, *, took: timedelta) -> None:  # noqa: ARG002 - nobody reads here when it began
        """Record that the task of that name has just run to its end."""
        with self._store.transaction() as session:
            session.tables.task_runs[name] = session.now()

    def ages(self) -> Mapping[str, timedelta]:
        """Return how long ago each task last did, by its name."""
        with self._store.transaction() as session:
            now = session.now()
            return {name: now - ended_at for name, ended_at in session.tables.task_runs.items()}
